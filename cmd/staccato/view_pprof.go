package main

import (
	"fmt"
	"io"
	"net"
	"net/http"
	"os"
	"strconv"
	"time"

	"github.com/google/pprof/driver"
	"github.com/google/pprof/profile"
)

// pprofPages are pprof's own web pages about a profile, which it may change.
// pprof keeps settings in variables of its package: they are all defaults here,
// so that several profiles do not disturb each other.
func pprofPages(p *profile.Profile, stderr io.Writer) (http.Handler, error) {
	// pprof looks for its settings in the user's folder and gives up when the
	// environment names none, as under systemd.
	if _, err := os.UserConfigDir(); err != nil {
		os.Setenv("XDG_CONFIG_HOME", os.DevNull)
	}
	mux := http.NewServeMux()
	err := driver.PProf(&driver.Options{
		Flagset: &viewFlags{},
		Fetch:   fetched{p},
		Sym:     asRecorded{},
		UI:      quietUI{stderr},
		HTTPServer: func(args *driver.HTTPServerArgs) error {
			for path, page := range args.Handlers {
				switch path {
				case "/saveconfig", "/deleteconfig":
					// Keeping views under a name would write to the user's home.
					continue
				case "/":
					path = "/{$}"
				}
				mux.Handle(path, page)
			}
			return nil
		},
	})
	if err != nil {
		return nil, fmt.Errorf("make pprof's pages: %w", err)
	}
	return mux, nil
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
