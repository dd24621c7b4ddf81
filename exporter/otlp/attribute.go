package otlp

import (
	"strings"

	"go.opentelemetry.io/otel/attribute"
	commonpb "go.opentelemetry.io/proto/otlp/common/v1"
	profilespb "go.opentelemetry.io/proto/otlp/profiles/v1development"
	"google.golang.org/protobuf/proto"
)

// Attributes of samples, locations, mappings and profiles are entries of the
// dictionary. Those of resources and scopes are written out in full where they
// are used: the format lets them refer to the dictionary too, but receivers of
// before 2026 then see attributes without a key.

// stringAttribute returns the index of key=value.
func (d *dictionary) stringAttribute(key, value string) int32 {
	k, value := d.string(key), validUTF8(value)
	d.key = append(append(appendNumbers(d.key[:0], uint64(k)), 's'), value...)
	return d.attribute(k, 0, func() *commonpb.AnyValue { return stringValue(value) })
}

// intAttribute returns the index of key=value. The unit is written as in pprof
// files.
func (d *dictionary) intAttribute(key string, value int64, unit string) int32 {
	k, u := d.string(key), d.string(ucum(unit))
	d.key = append(appendNumbers(d.key[:0], uint64(k)), 'i')
	d.key = appendNumbers(d.key, uint64(u), uint64(value))
	return d.attribute(k, u, func() *commonpb.AnyValue { return intValue(value) })
}

// trueAttribute returns the index of key=true.
func (d *dictionary) trueAttribute(key string) int32 {
	k := d.string(key)
	d.key = append(appendNumbers(d.key[:0], uint64(k)), 'b')
	return d.attribute(k, 0, func() *commonpb.AnyValue {
		return &commonpb.AnyValue{Value: &commonpb.AnyValue_BoolValue{BoolValue: true}}
	})
}

// arrayAttribute returns the index of key=[values].
func (d *dictionary) arrayAttribute(key string, values []*commonpb.AnyValue, unit string) int32 {
	k, u := d.string(key), d.string(ucum(unit))
	array := &commonpb.AnyValue{Value: &commonpb.AnyValue_ArrayValue{ArrayValue: &commonpb.ArrayValue{Values: values}}}
	d.key = append(appendNumbers(d.key[:0], uint64(k)), 'a')
	d.key = appendNumbers(d.key, uint64(u))
	// An array of strings and numbers has one encoding, and it cannot fail:
	// its text is valid.
	d.key, _ = proto.MarshalOptions{Deterministic: true}.MarshalAppend(d.key, array)
	return d.attribute(k, u, func() *commonpb.AnyValue { return array })
}

// attribute returns the index of the attribute whose table key is d.key.
func (d *dictionary) attribute(key, unit int32, value func() *commonpb.AnyValue) int32 {
	i, ok := d.attributes.find(d.key)
	if !ok {
		var m *profilespb.KeyValueAndUnit
		i, m = d.attributes.add(d.key)
		m.KeyStrindex, m.UnitStrindex, m.Value = key, unit, value()
	}
	return i
}

// appendAttributes appends attributes in full, without those whose key is
// empty or is in list already.
func appendAttributes(list []*commonpb.KeyValue, attributes []attribute.KeyValue) []*commonpb.KeyValue {
	for _, a := range attributes {
		list = appendAttribute(list, a)
	}
	return list
}

func appendAttribute(list []*commonpb.KeyValue, a attribute.KeyValue) []*commonpb.KeyValue {
	key := validUTF8(string(a.Key))
	if key == "" {
		return list
	}
	for _, other := range list {
		if other.Key == key {
			return list
		}
	}
	return append(list, &commonpb.KeyValue{Key: key, Value: anyValue(a.Value)})
}

func anyValue(v attribute.Value) *commonpb.AnyValue {
	switch v.Type() {
	case attribute.STRING:
		return stringValue(v.AsString())
	case attribute.INT64:
		return intValue(v.AsInt64())
	case attribute.BOOL:
		return &commonpb.AnyValue{Value: &commonpb.AnyValue_BoolValue{BoolValue: v.AsBool()}}
	case attribute.FLOAT64:
		return doubleValue(v.AsFloat64())
	case attribute.STRINGSLICE:
		return arrayOf(v.AsStringSlice(), stringValue)
	case attribute.INT64SLICE:
		return arrayOf(v.AsInt64Slice(), intValue)
	case attribute.FLOAT64SLICE:
		return arrayOf(v.AsFloat64Slice(), doubleValue)
	case attribute.EMPTY:
		return &commonpb.AnyValue{}
	default: // rare in a resource; their text is as good
		return stringValue(v.String())
	}
}

func arrayOf[T any](values []T, one func(T) *commonpb.AnyValue) *commonpb.AnyValue {
	array := &commonpb.ArrayValue{}
	for _, v := range values {
		array.Values = append(array.Values, one(v))
	}
	return &commonpb.AnyValue{Value: &commonpb.AnyValue_ArrayValue{ArrayValue: array}}
}

func stringValue(s string) *commonpb.AnyValue {
	return &commonpb.AnyValue{Value: &commonpb.AnyValue_StringValue{StringValue: validUTF8(s)}}
}

func intValue(n int64) *commonpb.AnyValue {
	return &commonpb.AnyValue{Value: &commonpb.AnyValue_IntValue{IntValue: n}}
}

func doubleValue(f float64) *commonpb.AnyValue {
	return &commonpb.AnyValue{Value: &commonpb.AnyValue_DoubleValue{DoubleValue: f}}
}

// validUTF8 makes any bytes a text that Protocol Buffers take: paths, symbols
// and labels of strangers may hold anything.
func validUTF8(s string) string { return strings.ToValidUTF8(s, "\uFFFD") }
