//go:build deps

// Keeps the modules in go.mod while the code that needs them is written.
package staccato

import (
	_ "github.com/cilium/ebpf"
	_ "github.com/google/pprof/driver"
	_ "github.com/ianlancetaylor/demangle"
	_ "github.com/spf13/cobra"
	_ "go.opentelemetry.io/otel/metric"
	_ "go.opentelemetry.io/otel/sdk/metric"
	_ "go.opentelemetry.io/otel/semconv/v1.43.0"
	_ "go.opentelemetry.io/proto/otlp/collector/profiles/v1development"
	_ "go.opentelemetry.io/proto/otlp/profiles/v1development"
	_ "google.golang.org/genproto/googleapis/rpc/errdetails"
	_ "google.golang.org/grpc"
	_ "google.golang.org/protobuf/proto"
	_ "golang.org/x/sys/unix"
	_ "golang.org/x/term"
)
