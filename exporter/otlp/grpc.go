package otlp

import (
	"context"
	"crypto/tls"
	"fmt"
	"time"

	collectorpb "go.opentelemetry.io/proto/otlp/collector/profiles/v1development"
	"google.golang.org/genproto/googleapis/rpc/errdetails"
	"google.golang.org/grpc"
	"google.golang.org/grpc/backoff"
	"google.golang.org/grpc/codes"
	"google.golang.org/grpc/credentials"
	"google.golang.org/grpc/credentials/insecure"
	"google.golang.org/grpc/mem"
	"google.golang.org/grpc/metadata"
	"google.golang.org/grpc/status"
	"google.golang.org/protobuf/proto"
)

// versionHeader says which layout of the messages in development a request
// has. Servers take none for "1".
const (
	versionHeader = "otlp-profiles-development-version"
	version       = "1"
)

// exportMethod is what gRPC calls.
const exportMethod = "/opentelemetry.proto.collector.profiles.v1development.ProfilesService/Export"

// maxResponse bounds what is read of an answer.
const maxResponse = 1 << 20

type grpcClient struct {
	connection *grpc.ClientConn
	headers    metadata.MD
	options    []grpc.CallOption
}

func newGRPCClient(c Config, e endpoint, security *tls.Config) (*grpcClient, error) {
	transport := insecure.NewCredentials()
	if e.tls {
		transport = credentials.NewTLS(security)
	}
	retry := backoff.DefaultConfig
	retry.BaseDelay, retry.MaxDelay = c.RetryMin/2, c.RetryMax/2 // to be connected when the exporter tries again
	connection, err := grpc.NewClient("dns:///"+e.address,
		grpc.WithTransportCredentials(transport),
		grpc.WithUserAgent("staccato"),
		grpc.WithDisableRetry(), // the exporter retries, and counts
		grpc.WithConnectParams(grpc.ConnectParams{Backoff: retry, MinConnectTimeout: c.Timeout}),
	)
	if err != nil {
		return nil, fmt.Errorf("prepare gRPC to %s: %w", e.url(), err)
	}
	client := &grpcClient{
		connection: connection,
		headers:    metadata.New(c.Headers),
		options:    []grpc.CallOption{grpc.ForceCodecV2(rawCodec{}), grpc.MaxCallRecvMsgSize(maxResponse)},
	}
	client.headers.Set(versionHeader, version)
	if c.Compression == "gzip" {
		client.options = append(client.options, grpc.UseCompressor("gzip"))
	}
	return client, nil
}

func (c *grpcClient) close() error { return c.connection.Close() }

func (c *grpcClient) send(ctx context.Context, request []byte) answer {
	var response collectorpb.ExportProfilesServiceResponse
	ctx = metadata.NewOutgoingContext(ctx, c.headers)
	err := c.connection.Invoke(ctx, exportMethod, request, &response, c.options...)
	if err == nil {
		partial := response.GetPartialSuccess()
		return answer{rejected: partial.GetRejectedProfiles(), message: partial.GetErrorMessage()}
	}
	return grpcAnswer(err)
}

// grpcAnswer decides about a failure by the rules of OTLP/gRPC, see
// https://opentelemetry.io/docs/specs/otlp/#failures.
func grpcAnswer(err error) answer {
	s := status.Convert(err)
	a := answer{err: err}
	for _, detail := range s.Details() {
		if info, ok := detail.(*errdetails.RetryInfo); ok {
			a.after = max(info.GetRetryDelay().AsDuration(), time.Nanosecond)
		}
	}
	switch s.Code() {
	case codes.Canceled, codes.DeadlineExceeded, codes.Aborted, codes.OutOfRange, codes.Unavailable, codes.DataLoss:
		a.retry = true
	case codes.ResourceExhausted:
		a.retry = a.after > 0 // otherwise it will not pass
	case codes.InvalidArgument, codes.Internal, codes.Unknown:
		a.content = true
	}
	return a
}

// rawCodec sends requests that are encoded already.
type rawCodec struct{}

func (rawCodec) Name() string { return "proto" }

func (rawCodec) Marshal(v any) (mem.BufferSlice, error) {
	data, ok := v.([]byte)
	if !ok {
		return nil, fmt.Errorf("encode gRPC message: %T is not encoded", v)
	}
	return mem.BufferSlice{mem.SliceBuffer(data)}, nil
}

func (rawCodec) Unmarshal(data mem.BufferSlice, v any) error {
	m, ok := v.(proto.Message)
	if !ok {
		return fmt.Errorf("decode gRPC message: %T is no message", v)
	}
	return proto.Unmarshal(data.Materialize(), m)
}
