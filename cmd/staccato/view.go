package main

import (
	"context"
	"errors"
	"fmt"
	"io"
	"net"
	"net/http"
	"os"
	"os/exec"
	"strconv"
	"strings"
	"time"

	"github.com/google/pprof/driver"
	"github.com/google/pprof/profile"
	"github.com/spf13/cobra"
)

// maxProfileFile bounds what view reads into memory.
const maxProfileFile = 1 << 30

type viewOptions struct {
	listen  string
	browser bool
}

func (a *app) viewCommand() *cobra.Command {
	var o viewOptions
	cmd := &cobra.Command{
		Use:   "view [flags] FILE",
		Short: "Show a profile in the browser: flame graph, table, source",
		Long: "View serves pprof's web pages about a profile on this machine's loopback address\n" +
			"until Ctrl-C, and prints where. It reads .pb.gz and .pb files of any program.\n" +
			"The call graph page needs graphviz, the others nothing.",
		Args: cobra.ExactArgs(1),
		RunE: func(_ *cobra.Command, args []string) error { return a.view(args[0], o) },
	}
	cmd.Flags().StringVar(&o.listen, "listen", "127.0.0.1:0", "serve on this loopback `ADDRESS`; port 0 is a free one")
	cmd.Flags().BoolVar(&o.browser, "browser", false, "open a browser")
	return cmd
}

func (a *app) view(file string, o viewOptions) error {
	p, err := readProfile(file)
	if err != nil {
		return err
	}
	if err := loopbackOnly(o.listen); err != nil {
		return err
	}
	listener, err := net.Listen("tcp", o.listen)
	if err != nil {
		return fmt.Errorf("serve web pages: %w", err)
	}
	defer listener.Close()

	// pprof looks for its settings in the user's folder and gives up when the
	// environment names none, as under systemd.
	if _, err := os.UserConfigDir(); err != nil {
		os.Setenv("XDG_CONFIG_HOME", os.DevNull)
	}
	return driver.PProf(&driver.Options{
		Flagset: &viewFlags{},
		Fetch:   fetched{p},
		Sym:     asRecorded{},
		UI:      quietUI{a.stderr},
		HTTPServer: func(args *driver.HTTPServerArgs) error {
			return a.serve(listener, args.Handlers, o.browser)
		},
	})
}

func readProfile(file string) (*profile.Profile, error) {
	f, err := os.Open(file)
	if err != nil {
		return nil, fmt.Errorf("read profile: %w", err)
	}
	defer f.Close()
	content, err := io.ReadAll(io.LimitReader(f, maxProfileFile+1))
	if err != nil {
		return nil, fmt.Errorf("read profile: %w", err)
	}
	if len(content) > maxProfileFile {
		return nil, fmt.Errorf("read profile: %s is larger than %s", file, fileSize(maxProfileFile))
	}
	p, err := profile.ParseData(content)
	if err != nil {
		return nil, &exitError{exitFailure, fmt.Errorf("read profile %s: %w", file, err),
			[]string{"It must be a pprof file (.pb.gz, .pb), such as staccato record writes."}}
	}
	return p, nil
}

// loopbackOnly refuses addresses that others can reach: the pages show the
// profile, and the source code of what is in it, to whoever asks.
func loopbackOnly(address string) error {
	host, _, err := net.SplitHostPort(address)
	if err != nil {
		return usageError("--listen %s: want ADDRESS:PORT", address)
	}
	if host != "localhost" && !net.ParseIP(host).IsLoopback() {
		return usageError("--listen %s: only loopback addresses such as 127.0.0.1; to look from elsewhere use ssh -L", address)
	}
	return nil
}

// serve serves pprof's pages until the user stops the program.
func (a *app) serve(listener net.Listener, pages map[string]http.Handler, browser bool) error {
	// Keeping views under a name would write to the user's home.
	delete(pages, "/saveconfig")
	delete(pages, "/deleteconfig")
	mux := http.NewServeMux()
	for path, page := range pages {
		if path == "/" {
			path = "/{$}"
		}
		mux.Handle(path, page)
	}
	server := &http.Server{Handler: sameHost(mux), ReadHeaderTimeout: 10 * time.Second}
	url := "http://" + listener.Addr().String() + "/"
	fmt.Fprintf(a.stdout, "Serving at %s until Ctrl-C\n", url)
	if browser {
		if err := exec.Command("xdg-open", url).Start(); err != nil {
			fmt.Fprintf(a.stderr, "Note: open browser: %v\n", err)
		}
	}

	ended := make(chan error, 1)
	go func() { ended <- server.Serve(listener) }()
	select {
	case err := <-ended:
		return fmt.Errorf("serve web pages: %w", err)
	case <-a.stop.Done():
	}
	// A page that takes long is not worth waiting for.
	ctx, cancel := context.WithTimeout(a.abort, time.Second)
	defer cancel()
	if err := server.Shutdown(ctx); err != nil && !errors.Is(err, context.DeadlineExceeded) && !errors.Is(err, context.Canceled) {
		return fmt.Errorf("stop serving: %w", err)
	}
	return nil
}

// sameHost refuses requests that name another host: a web page elsewhere can
// make the browser ask under a name of its own that leads to this machine, and
// could then read the answer.
func sameHost(next http.Handler) http.Handler {
	return http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		host := r.Host
		if h, _, err := net.SplitHostPort(host); err == nil {
			host = h
		}
		host = strings.Trim(host, "[]")
		if host != "localhost" && !net.ParseIP(host).IsLoopback() {
			http.Error(w, "this server answers only under loopback names", http.StatusForbidden)
			return
		}
		next.ServeHTTP(w, r)
	})
}

// fetched gives pprof a profile that has been read already.
type fetched struct{ p *profile.Profile }

func (f fetched) Fetch(string, time.Duration, time.Duration) (*profile.Profile, string, error) {
	return f.p, "", nil
}

// asRecorded leaves names as they are: files on this machine may be others
// than those that were profiled.
type asRecorded struct{}

func (asRecorded) Symbolize(string, driver.MappingSources, *profile.Profile) error { return nil }

// quietUI prints pprof's errors and keeps the rest, such as its own address,
// to itself.
type quietUI struct{ stderr io.Writer }

func (quietUI) ReadLine(string) (string, error)     { return "", io.EOF }
func (quietUI) Print(...any)                        {}
func (u quietUI) PrintErr(args ...any)              { fmt.Fprintln(u.stderr, args...) }
func (quietUI) IsTerminal() bool                    { return false }
func (quietUI) WantBrowser() bool                   { return false }
func (quietUI) SetAutoComplete(func(string) string) {}

// viewFlags is the command line that pprof sees: all defaults, but its web
// pages, whose address our HTTPServer chooses.
type viewFlags struct{}

func (viewFlags) Bool(_ string, value bool, _ string) *bool          { return &value }
func (viewFlags) Int(_ string, value int, _ string) *int             { return &value }
func (viewFlags) Float64(_ string, value float64, _ string) *float64 { return &value }

func (viewFlags) String(name, value, _ string) *string {
	if name == "http" {
		value = net.JoinHostPort("127.0.0.1", strconv.Itoa(1)) // not used
	}
	return &value
}

func (viewFlags) StringList(_, value, _ string) *[]*string { return &[]*string{&value} }
func (viewFlags) ExtraUsage() string                       { return "" }
func (viewFlags) AddExtraUsage(string)                     {}
func (viewFlags) Parse(func()) []string                    { return []string{"profile"} }
