// Package pprof writes profiles in pprof's format, a protocol buffer defined
// by https://github.com/google/pprof/blob/main/proto/profile.proto.
package pprof

import (
	"context"
	"fmt"
	"io"

	"github.com/google/pprof/profile"

	"github.com/staccato-profiler/staccato/exporter"
)

// Write writes the profile compressed with gzip, as files named .pb.gz are. A
// profile that breaks a rule of the format is an error, and nothing is written.
// What in.Side holds has no place in the format and is left out.
func Write(ctx context.Context, w io.Writer, in exporter.Input) error {
	return write(ctx, w, in, (*profile.Profile).Write)
}

// WriteUncompressed is [Write] without the compression, for files named .pb.
func WriteUncompressed(ctx context.Context, w io.Writer, in exporter.Input) error {
	return write(ctx, w, in, (*profile.Profile).WriteUncompressed)
}

func write(ctx context.Context, w io.Writer, in exporter.Input, encode func(*profile.Profile, io.Writer) error) error {
	if err := in.Profile.CheckValid(); err != nil {
		return fmt.Errorf("check profile: %w", err)
	}
	if err := encode(in.Profile, contextWriter{ctx, w}); err != nil {
		return fmt.Errorf("write pprof: %w", err)
	}
	return nil
}

// contextWriter ends a long write when its context ends.
type contextWriter struct {
	ctx context.Context
	w   io.Writer
}

func (c contextWriter) Write(p []byte) (int, error) {
	if err := c.ctx.Err(); err != nil {
		return 0, err
	}
	return c.w.Write(p)
}
