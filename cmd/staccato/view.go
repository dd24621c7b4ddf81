package main

import (
	"context"
	"errors"
	"fmt"
	"net"
	"net/http"
	"os/exec"
	"strings"
	"time"

	"github.com/spf13/cobra"

	"github.com/staccato-profiler/staccato/exporter/input"
)

type viewOptions struct {
	listen  string
	browser bool
}

// maxViewed is how many profiles view holds in memory.
const maxViewed = 32

func (a *app) viewCommand() *cobra.Command {
	var o viewOptions
	cmd := &cobra.Command{
		Use:   "view [flags] FILE...",
		Short: "Show profiles in the browser: flame graph, table, differences",
		Long: "View serves pages about profiles on this machine's loopback address until Ctrl-C,\n" +
			"and prints where: the page that record -o FILE.html writes, pprof's own web\n" +
			"pages, and of several profiles the difference of any two. It reads what report\n" +
			"reads. pprof's call graph page needs graphviz, the others nothing.",
		Args: func(_ *cobra.Command, args []string) error {
			switch {
			case len(args) == 0:
				return usageError("nothing to view: name a profile")
			case len(args) > maxViewed:
				return usageError("%d profiles: at most %d", len(args), maxViewed)
			}
			return nil
		},
		RunE: func(_ *cobra.Command, args []string) error { return a.view(args, o) },
	}
	cmd.Flags().StringVar(&o.listen, "listen", "127.0.0.1:0", "serve on this loopback `ADDRESS`; port 0 is a free one")
	cmd.Flags().BoolVar(&o.browser, "browser", false, "open a browser")
	return cmd
}

func (a *app) view(names []string, o viewOptions) error {
	if err := loopbackOnly(o.listen); err != nil {
		return err
	}
	var v viewer
	err := a.orStop(func() error {
		for _, name := range names {
			p, err := a.readProfile(name, input.Auto)
			if err != nil {
				return err
			}
			v.names, v.profiles = append(v.names, name), append(v.profiles, p)
		}
		return nil
	})
	if err != nil {
		return err
	}
	listener, err := net.Listen("tcp", o.listen)
	if err != nil {
		return fmt.Errorf("serve web pages: %w", err)
	}
	defer listener.Close()
	pages, err := v.pages(a.stderr)
	if err != nil {
		return err
	}
	return a.serve(listener, pages, o.browser)
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

// serve serves pages until the user stops the program.
func (a *app) serve(listener net.Listener, pages http.Handler, browser bool) error {
	server := &http.Server{Handler: sameHost(pages), ReadHeaderTimeout: 10 * time.Second}
	url := "http://" + listener.Addr().String() + "/"
	fmt.Fprintf(a.stdout, "Serving at %s until Ctrl-C\n", url)
	fmt.Fprintf(a.stdout, "pprof's pages: %s1/pprof/\n", url)
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
