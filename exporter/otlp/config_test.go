package otlp

import (
	"maps"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"
)

func TestEndpoint(t *testing.T) {
	yes, no := true, false
	for name, test := range map[string]struct {
		config Config
		want   string // the URL, or a part of the error after "!"
	}{
		"default grpc":           {Config{}, "http://localhost:4317"},
		"default http":           {Config{Protocol: HTTP}, "http://localhost:4318/v1development/profiles"},
		"plain grpc":             {Config{Endpoint: "http://collector:9999"}, "http://collector:9999"},
		"plain http":             {Config{Protocol: HTTP, Endpoint: "http://collector:9999/"}, "http://collector:9999/v1development/profiles"},
		"no port":                {Config{Endpoint: "http://collector"}, "http://collector:4317"},
		"no port, http":          {Config{Protocol: HTTP, Endpoint: "http://collector"}, "http://collector:4318/v1development/profiles"},
		"no port, TLS":           {Config{Protocol: HTTP, Endpoint: "https://otlp.example.com"}, "https://otlp.example.com:443/v1development/profiles"},
		"TLS":                    {Config{Endpoint: "https://collector:4317"}, "https://collector:4317"},
		"own path":               {Config{Protocol: HTTP, Endpoint: "http://c:1/own"}, "http://c:1/own"},
		"base with path":         {Config{Protocol: HTTP, Endpoint: "http://c:1/base/", base: true}, "http://c:1/base/v1development/profiles"},
		"base with path, grpc":   {Config{Endpoint: "http://c:1/base", base: true}, "http://c:1"},
		"path with grpc":         {Config{Endpoint: "http://c:1/own"}, "!gRPC has no path"},
		"bare localhost":         {Config{Endpoint: "localhost:4317"}, "http://localhost:4317"},
		"bare IPv4":              {Config{Endpoint: "127.0.0.2:1"}, "http://127.0.0.2:1"},
		"bare IPv6":              {Config{Endpoint: "[::1]:1"}, "http://[::1]:1"},
		"bare name, no port":     {Config{Endpoint: "localhost"}, "http://localhost:4317"},
		"bare remote":            {Config{Endpoint: "collector:4317"}, "!use https://collector:4317 (TLS) or http://collector:4317 (plain)"},
		"bare remote, insecure":  {Config{Endpoint: "collector:4317", insecure: &yes}, "http://collector:4317"},
		"bare remote, secure":    {Config{Endpoint: "collector:4317", insecure: &no}, "https://collector:4317"},
		"like a loopback":        {Config{Endpoint: "127.0.0.1.example.com:4317"}, "!does not say whether to encrypt"},
		"scheme before insecure": {Config{Endpoint: "https://c:1", insecure: &yes}, "https://c:1"},
		"other scheme":           {Config{Endpoint: "unix:///run/otlp"}, "!\"unix\" is not known"},
		"no host":                {Config{Endpoint: "http://:4317"}, "!no host"},
		"port 0":                 {Config{Endpoint: "http://c:0"}, "!port \"0\""},
		"large port":             {Config{Endpoint: "http://c:99999"}, "!port \"99999\""},
		"password":               {Config{Endpoint: "http://me:secret@c:1"}, "!OTEL_EXPORTER_OTLP_HEADERS"},
		"query":                  {Config{Endpoint: "http://c:1/?a=b"}, "!end with the path"},
		"garbage":                {Config{Endpoint: "http://[c"}, "!read OTLP endpoint"},
	} {
		config, err := test.config.withDefaults()
		if err != nil {
			t.Fatal(err)
		}
		e, err := parseEndpoint(config)
		got := e.url()
		if err != nil {
			got = "!" + err.Error()
		}
		if want, isError := strings.CutPrefix(test.want, "!"); got != test.want && !(isError && err != nil && strings.Contains(got, want)) {
			t.Errorf("%s: %s, want %s", name, got, test.want)
		}
		if strings.Contains(got, "secret") {
			t.Errorf("%s: the error shows the password: %s", name, got)
		}
	}
}

func TestEnvironment(t *testing.T) {
	yes := true
	for name, test := range map[string]struct {
		set    map[string]string
		config Config
		want   Config
		error  string
	}{
		"nothing": {},
		"all": {
			set: map[string]string{
				"OTEL_EXPORTER_OTLP_ENDPOINT": "http://a:1/base", "OTEL_EXPORTER_OTLP_PROTOCOL": "http/protobuf",
				"OTEL_EXPORTER_OTLP_HEADERS": "a=b, c=d%20e,,", "OTEL_EXPORTER_OTLP_TIMEOUT": "1500",
				"OTEL_EXPORTER_OTLP_CERTIFICATE": "ca", "OTEL_EXPORTER_OTLP_CLIENT_CERTIFICATE": "cert", "OTEL_EXPORTER_OTLP_CLIENT_KEY": "key",
				"OTEL_EXPORTER_OTLP_COMPRESSION": "none", "OTEL_EXPORTER_OTLP_INSECURE": "TRUE",
			},
			want: Config{
				Endpoint: "http://a:1/base", Protocol: HTTP, Headers: map[string]string{"a": "b", "c": "d e"},
				Timeout: 1500 * time.Millisecond, CAFile: "ca", CertificateFile: "cert", KeyFile: "key", Compression: "none",
				insecure: &yes, base: true,
			},
		},
		"profiles first": {
			set: map[string]string{
				"OTEL_EXPORTER_OTLP_ENDPOINT": "http://a:1", "OTEL_EXPORTER_OTLP_PROFILES_ENDPOINT": "http://b:1/own",
				"OTEL_EXPORTER_OTLP_PROFILES_PROTOCOL": "grpc", "OTEL_EXPORTER_OTLP_PROTOCOL": "http/protobuf",
				"OTEL_EXPORTER_OTLP_PROFILES_HEADERS": " ", "OTEL_EXPORTER_OTLP_HEADERS": "a=b",
			},
			want: Config{Endpoint: "http://b:1/own", Protocol: GRPC, Headers: map[string]string{"a": "b"}},
		},
		"config first": {
			set: map[string]string{
				"OTEL_EXPORTER_OTLP_ENDPOINT": "http://a:1", "OTEL_EXPORTER_OTLP_PROTOCOL": "http/protobuf", "OTEL_EXPORTER_OTLP_INSECURE": "what",
				"OTEL_EXPORTER_OTLP_TIMEOUT": "soon", "OTEL_EXPORTER_OTLP_HEADERS": "x",
			},
			config: Config{Endpoint: "c:1", Protocol: GRPC, Timeout: 1, Headers: map[string]string{}},
			want:   Config{Endpoint: "c:1", Protocol: GRPC, Timeout: 1, Headers: map[string]string{}},
		},
		"bad timeout":  {set: map[string]string{"OTEL_EXPORTER_OTLP_TIMEOUT": "10s"}, error: "read OTEL_EXPORTER_OTLP_TIMEOUT"},
		"bad insecure": {set: map[string]string{"OTEL_EXPORTER_OTLP_PROFILES_INSECURE": "maybe"}, error: "read OTEL_EXPORTER_OTLP_PROFILES_INSECURE"},
		"bad header":   {set: map[string]string{"OTEL_EXPORTER_OTLP_HEADERS": "a=b,secret"}, error: "header 2 is not KEY=VALUE"},
		"bad escape":   {set: map[string]string{"OTEL_EXPORTER_OTLP_HEADERS": "a=secret%zz"}, error: `header "a" has a broken`},
	} {
		got, err := test.config.withEnvironment(func(key string) string { return test.set[key] })
		if test.error != "" || err != nil {
			if err == nil || test.error == "" || !strings.Contains(err.Error(), test.error) || strings.Contains(err.Error(), "secret") {
				t.Errorf("%s: error is %v, want %q", name, err, test.error)
			}
			continue
		}
		if got.Endpoint != test.want.Endpoint || got.Protocol != test.want.Protocol || !maps.Equal(got.Headers, test.want.Headers) ||
			got.Timeout != test.want.Timeout || got.CAFile != test.want.CAFile || got.CertificateFile != test.want.CertificateFile ||
			got.KeyFile != test.want.KeyFile || got.Compression != test.want.Compression || got.base != test.want.base ||
			(got.insecure == nil) != (test.want.insecure == nil) {
			t.Errorf("%s: got %+v, want %+v", name, got, test.want)
		}
	}
}

// TestNewReadsEnvironment checks that the variables reach the exporter.
func TestNewReadsEnvironment(t *testing.T) {
	s := serve(t, HTTP, "", nil)
	t.Setenv("OTEL_EXPORTER_OTLP_ENDPOINT", "http://"+s.address)
	t.Setenv("OTEL_EXPORTER_OTLP_PROFILES_PROTOCOL", "http/protobuf")
	t.Setenv("OTEL_EXPORTER_OTLP_HEADERS", "x-tenant=me")
	e := newExporter(t, "", "", nil)
	n := export(t, e)
	if flush(t, e, 10*time.Second, n); s.samples() != n || s.headers[0].Get("X-Tenant") != "me" {
		t.Errorf("received %d of %d, headers %v", s.samples(), n, s.headers)
	}
}

func TestNewInvalid(t *testing.T) {
	empty := filepath.Join(t.TempDir(), "empty.pem")
	if err := os.WriteFile(empty, nil, 0o600); err != nil {
		t.Fatal(err)
	}
	for want, config := range map[string]Config{
		`protocol "http/json" is not known`:    {Protocol: "http/json"},
		`compression "zstd" is not known`:      {Compression: "zstd"},
		"one is missing":                       {CertificateFile: "x"},
		"read OTLP certificate authorities":    {CAFile: "/does/not/exist"},
		"no certificate in PEM format":         {CAFile: empty},
		"read OTLP client certificate":         {CertificateFile: empty, KeyFile: empty},
		"must not be negative":                 {Timeout: -1},
		`header "a b" is not valid`:            {Headers: map[string]string{"a b": "c"}},
		`header "a" is not valid`:              {Headers: map[string]string{"a": "secret\r\nb: c"}},
		"does not say whether to encrypt":      {Endpoint: "collector:4317"},
		`header "" is not valid`:               {Headers: map[string]string{"": "c"}},
		"OTLP endpoint \"ftp://x\": scheme":    {Endpoint: "ftp://x"},
		`gRPC has no path: leave "/p" out, or`: {Endpoint: "http://x/p"},
	} {
		e, err := New(config)
		if err == nil || !strings.Contains(err.Error(), want) || strings.Contains(err.Error(), "secret") {
			t.Errorf("error is %v, want %q", err, want)
		}
		if e != nil {
			t.Errorf("an exporter although: %v", err)
		}
	}
}

func TestDelay(t *testing.T) {
	c := Config{RetryMin: time.Second, RetryMax: 5 * time.Second}
	for failed, want := range map[int]time.Duration{1: time.Second, 2: 2 * time.Second, 3: 4 * time.Second, 4: 5 * time.Second, 1000: 5 * time.Second} {
		for range 100 {
			if d := c.delay(failed, 0); d < want/2 || d > want*3/2 {
				t.Fatalf("after %d failures %v, want about %v", failed, d, want)
			}
		}
	}
	if d := c.delay(1, 17*time.Second); d != 17*time.Second {
		t.Errorf("the server's wish becomes %v", d)
	}
	if d := c.delay(1, 1000*time.Hour); d != maxServerDelay {
		t.Errorf("a server stops the exporter for %v", d)
	}
}
