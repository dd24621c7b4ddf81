// Package otlp sends profiles to an OpenTelemetry Collector, or to any other
// server of OTLP's profiles signal, over gRPC or HTTP.
//
// It has two halves. [Encode] turns a profile into OTLP requests and does
// nothing else. [Exporter] keeps the encoded requests in a bounded queue and
// sends them one after another, retrying as the protocol demands. What could
// not be sent is counted in [Stats].
//
// The profiles signal is still in development: the messages are those of
// opentelemetry-proto 1.10 and 1.11 (package profiles.v1development), which are
// the same on the wire and differ from all earlier releases. The text is in
// https://github.com/open-telemetry/opentelemetry-proto, file
// opentelemetry/proto/profiles/v1development/profiles.proto.
package otlp
