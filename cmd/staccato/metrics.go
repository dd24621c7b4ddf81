package main

import (
	"errors"
	"fmt"
	"log"
	"log/slog"
	"net"
	"net/http"
	"strings"
	"time"

	"github.com/prometheus/client_golang/prometheus"
	"github.com/prometheus/client_golang/prometheus/collectors"
	"github.com/prometheus/client_golang/prometheus/promhttp"
	otelprometheus "go.opentelemetry.io/otel/exporters/prometheus"
	"golang.org/x/net/netutil"
)

// What strangers may cost who reach the endpoint.
const (
	maxMetricsConnections = 32
	maxMetricsHeader      = 16 << 10
	metricsTimeout        = 10 * time.Second
	metricsIdle           = 2 * time.Minute // longer than common scrape intervals
)

// metricsEndpoint serves /metrics and /healthz.
type metricsEndpoint struct {
	server *http.Server
	ended  chan struct{}
}

// listenMetrics serves at address, HOST:PORT or :PORT, all metrics of the
// counters that it returns, and those of this process.
func listenMetrics(address string, health *health, logger *slog.Logger) (*metricsEndpoint, *counters, error) {
	registry := prometheus.NewRegistry()
	reader, err := otelprometheus.New(
		otelprometheus.WithRegisterer(registry),
		// There is one scope, and Prometheus knows its targets itself.
		otelprometheus.WithoutScopeInfo(), otelprometheus.WithoutTargetInfo(),
	)
	if err != nil {
		return nil, nil, fmt.Errorf("serve metrics: %w", err)
	}
	// CPU time and memory of the profiler, under the names of Prometheus'
	// client libraries.
	if err := registry.Register(collectors.NewProcessCollector(collectors.ProcessCollectorOpts{})); err != nil {
		return nil, nil, fmt.Errorf("serve metrics: %w", err)
	}
	listener, err := net.Listen("tcp", address)
	var wrong *net.AddrError
	if errors.As(err, &wrong) {
		return nil, nil, usageError("--metrics-listen %s: %s; want ADDRESS:PORT or :PORT, such as 127.0.0.1:9464", address, wrong.Err)
	} else if err != nil {
		return nil, nil, fmt.Errorf("serve metrics: %w", err)
	}

	errorLog := log.New(metricsLog{logger}, "", 0)
	mux := http.NewServeMux()
	mux.Handle("GET /healthz", health)
	mux.Handle("GET /metrics", promhttp.HandlerFor(registry, promhttp.HandlerOpts{ErrorLog: errorLog}))
	m := &metricsEndpoint{
		server: &http.Server{
			Handler:     mux,
			ReadTimeout: metricsTimeout, WriteTimeout: metricsTimeout, IdleTimeout: metricsIdle,
			MaxHeaderBytes: maxMetricsHeader,
			ErrorLog:       errorLog,
		},
		ended: make(chan struct{}),
	}
	go func() {
		defer close(m.ended)
		err := m.server.Serve(netutil.LimitListener(listener, maxMetricsConnections))
		if !errors.Is(err, http.ErrServerClosed) {
			logger.Error("serve metrics", "error", err)
		}
	}()
	logger.Info("serving metrics", "address", listener.Addr())
	return m, newCounters(reader), nil
}

// close ends the endpoint, and what it is answering.
func (m *metricsEndpoint) close() {
	m.server.Close()
	<-m.ended
}

// metricsLog is where net/http writes. Its texts hold clients' addresses, so
// they must not be the message: quietHandler remembers each.
type metricsLog struct{ *slog.Logger }

func (l metricsLog) Write(text []byte) (int, error) {
	l.Warn("serve metrics", "error", strings.TrimSpace(string(text)))
	return len(text), nil
}
