package otlp

import (
	"crypto/ecdsa"
	"crypto/elliptic"
	"crypto/rand"
	"crypto/tls"
	"crypto/x509"
	"crypto/x509/pkix"
	"encoding/pem"
	"math/big"
	"net"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"
)

// credentialPair is a server's certificate, its authority's being in a file.
type credentialPair struct {
	config *tls.Config
	caFile string
}

// newCredentials makes an authority, and a certificate of it for 127.0.0.1.
func newCredentials(t *testing.T) *credentialPair {
	t.Helper()
	must := func(err error) {
		t.Helper()
		if err != nil {
			t.Fatal(err)
		}
	}
	key, err := ecdsa.GenerateKey(elliptic.P256(), rand.Reader)
	must(err)
	authority := &x509.Certificate{
		SerialNumber: big.NewInt(1), Subject: pkix.Name{CommonName: "authority of the test"},
		NotBefore: time.Now().Add(-time.Hour), NotAfter: time.Now().Add(time.Hour),
		IsCA: true, BasicConstraintsValid: true, KeyUsage: x509.KeyUsageCertSign,
	}
	authorityDER, err := x509.CreateCertificate(rand.Reader, authority, authority, &key.PublicKey, key)
	must(err)
	leaf := &x509.Certificate{
		SerialNumber: big.NewInt(2), NotBefore: authority.NotBefore, NotAfter: authority.NotAfter,
		IPAddresses: []net.IP{net.IPv4(127, 0, 0, 1)},
		KeyUsage:    x509.KeyUsageDigitalSignature, ExtKeyUsage: []x509.ExtKeyUsage{x509.ExtKeyUsageServerAuth},
	}
	leafDER, err := x509.CreateCertificate(rand.Reader, leaf, authority, &key.PublicKey, key)
	must(err)
	file := filepath.Join(t.TempDir(), "ca.pem")
	must(os.WriteFile(file, pem.EncodeToMemory(&pem.Block{Type: "CERTIFICATE", Bytes: authorityDER}), 0o600))
	return &credentialPair{
		config: &tls.Config{Certificates: []tls.Certificate{{Certificate: [][]byte{leafDER}, PrivateKey: key}}, NextProtos: []string{"h2", "http/1.1"}},
		caFile: file,
	}
}

func TestTLS(t *testing.T) {
	security := newCredentials(t)
	for _, protocol := range protocols {
		t.Run(string(protocol), func(t *testing.T) {
			s := serve(t, protocol, "", security)
			trusting := newExporter(t, protocol, "https://"+s.address, func(c *Config) { c.CAFile = security.caFile })
			if err := trusting.Check(t.Context()); err != nil {
				t.Error(err)
			}
			n := export(t, trusting)
			if flush(t, trusting, 10*time.Second, n); s.samples() != n {
				t.Errorf("received %d of %d", s.samples(), n)
			}
			doubting := newExporter(t, protocol, "https://"+s.address, nil)
			if err := doubting.Check(t.Context()); err == nil || !strings.Contains(err.Error(), "OTEL_EXPORTER_OTLP_CERTIFICATE") {
				t.Errorf("with an unknown authority: %v", err)
			}
			export(t, doubting)
			eventually(t, "it has failed", func() bool { return doubting.Stats().Retries > 0 })
			if s.samples() != n {
				t.Error("profiles went to a server that is not trusted")
			}
			plain := serve(t, protocol, "", nil)
			mistaken := newExporter(t, protocol, "https://"+plain.address, nil)
			if err := mistaken.Check(t.Context()); err == nil || !strings.Contains(err.Error(), "use http://") {
				t.Errorf("with a plain server: %v", err)
			}
		})
	}
}

// TestWrongProtocol talks gRPC to HTTP and the other way round.
func TestWrongProtocol(t *testing.T) {
	for server, client := range map[Protocol]Protocol{GRPC: HTTP, HTTP: GRPC} {
		s := serve(t, server, "", nil)
		e := newExporter(t, client, "http://"+s.address, func(c *Config) { c.Timeout = 2 * time.Second })
		// Who hangs up first is chance; one of few attempts must tell.
		var err error
		for range 10 {
			if err = e.Check(t.Context()); err == nil || strings.Contains(err.Error(), "another protocol") {
				break
			}
		}
		if err == nil || !strings.Contains(err.Error(), "another protocol") {
			t.Errorf("%s to %s: %v", client, server, err)
		}
	}
}
