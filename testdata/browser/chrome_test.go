package browser

import (
	"bytes"
	"context"
	"fmt"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/chromedp/cdproto/cdp"
	"github.com/chromedp/cdproto/emulation"
	"github.com/chromedp/cdproto/log"
	"github.com/chromedp/cdproto/network"
	"github.com/chromedp/cdproto/runtime"
	"github.com/chromedp/chromedp"
	"github.com/chromedp/chromedp/kb"

	"github.com/staccato-profiler/staccato/exporter"
	"github.com/staccato-profiler/staccato/exporter/html"
)

// tab is a page in headless Chromium. When the test ends, whatever the page
// asked the network for, and each error it wrote to the console, fails it.
type tab struct {
	t   *testing.T
	ctx context.Context

	mu       sync.Mutex
	requests []string
	errors   []string
}

// browserContext starts one browser for a test.
func browserContext(t *testing.T) context.Context {
	t.Helper()
	allocator, cancelAllocator := chromedp.NewExecAllocator(context.Background(), append(slices.Clone(chromedp.DefaultExecAllocatorOptions[:]),
		chromedp.NoSandbox, // root, as make test needs it, cannot have Chromium's sandbox
		chromedp.ExecPath("/usr/bin/chromium"),
		chromedp.WindowSize(1280, 800),
	)...)
	ctx, cancel := chromedp.NewContext(allocator)
	t.Cleanup(func() {
		cancel()
		cancelAllocator()
	})
	return ctx
}

// writePage writes the page of one profile, or of two that it compares.
func writePage(t *testing.T, inputs ...exporter.Input) string {
	t.Helper()
	var b bytes.Buffer
	var err error
	if len(inputs) == 2 {
		err = html.Diff(t.Context(), &b, inputs[0], inputs[1])
	} else {
		err = html.Write(t.Context(), &b, inputs[0])
	}
	if err != nil {
		t.Fatal(err)
	}
	file := filepath.Join(t.TempDir(), "profile.html")
	if err := os.WriteFile(file, b.Bytes(), 0o666); err != nil {
		t.Fatal(err)
	}
	return file
}

// open opens a file, with what is to follow the # in its address.
func open(t *testing.T, file, hash string) *tab {
	t.Helper()
	p := newTab(t)
	p.load(file, hash)
	t.Cleanup(p.checkQuiet)
	return p
}

func newTab(t *testing.T) *tab {
	t.Helper()
	p := &tab{t: t, ctx: browserContext(t)}
	if err := chromedp.Listen(p.ctx, p.listen); err != nil {
		t.Fatal(err)
	}
	command(p, log.Enable, cdp.Empty{})
	command(p, network.Enable, network.EnableParams{})
	command(p, runtime.Enable, cdp.Empty{})
	return p
}

func (p *tab) load(file, hash string) {
	p.t.Helper()
	// From a blank page, since another # alone would not load the file again.
	p.run(chromedp.Navigate("about:blank"), chromedp.Navigate("file://"+file+hash))
	p.run(chromedp.WaitReady(chromedp.CSS("body.ready")))
}

func (p *tab) listen(event any) {
	p.mu.Lock()
	defer p.mu.Unlock()
	switch e := event.(type) {
	case *network.EventRequestWillBeSent:
		if u := e.Request.URL; !strings.HasPrefix(u, "file://") && !strings.HasPrefix(u, "data:") && !strings.HasPrefix(u, "blob:") && u != "about:blank" {
			p.requests = append(p.requests, u)
		}
	case *runtime.EventExceptionThrown:
		p.errors = append(p.errors, fmt.Sprint(e.ExceptionDetails.Text, " ", e.ExceptionDetails.Exception.Description))
	case *log.EventEntryAdded:
		if e.Entry.Level == log.EntryLevelError || e.Entry.Level == log.EntryLevelWarning {
			p.errors = append(p.errors, e.Entry.Text)
		}
	case *runtime.EventConsoleAPICalled:
		if e.Type == runtime.ConsoleAPICalledTypeError || e.Type == runtime.ConsoleAPICalledTypeWarning {
			for _, arg := range e.Args {
				p.errors = append(p.errors, fmt.Sprintf("%s: %s %s", e.Type, arg.Value, arg.Description))
			}
		}
	}
}

func (p *tab) checkQuiet() {
	p.mu.Lock()
	defer p.mu.Unlock()
	if len(p.requests) > 0 {
		p.t.Errorf("the page asked for %q", p.requests)
	}
	if len(p.errors) > 0 {
		p.t.Errorf("the console has %q", p.errors)
	}
}

func (p *tab) run(steps ...chromedp.Action[chromedp.Void]) {
	p.t.Helper()
	if err := chromedp.Do(p.ctx, steps...); err != nil {
		p.t.Fatal(err)
	}
}

func command[P, R any](p *tab, c cdp.Command[P, R], params P) R {
	p.t.Helper()
	result, err := chromedp.Call(p.ctx, c, params)
	if err != nil {
		p.t.Fatal(err)
	}
	return result
}

// evaluate runs an expression in the page.
func evaluate(expression string) chromedp.Action[chromedp.Void] {
	return chromedp.Evaluate[chromedp.Void](expression)
}

// eval returns the value of an expression in the page.
func eval[T any](p *tab, expression string) T {
	p.t.Helper()
	result, err := chromedp.Run(p.ctx, chromedp.Evaluate[T](expression))
	if err != nil {
		p.t.Fatalf("%s: %v", expression, err)
	}
	return result
}

// wait waits until a condition holds in the page.
func (p *tab) wait(condition string) {
	p.t.Helper()
	if err := chromedp.Do(p.ctx, chromedp.Poll[chromedp.Void](condition, chromedp.WithPollingTimeout(30*time.Second))); err != nil {
		p.t.Fatalf("wait until %s: %v", condition, err)
	}
}

func (p *tab) text(id string) string {
	p.t.Helper()
	return eval[string](p, fmt.Sprintf("document.getElementById(%q).textContent", id))
}

func (p *tab) press(keys string) {
	p.t.Helper()
	p.run(chromedp.KeyEvent(keys))
	if keys == "/" {
		// chromedp types the character although the page took the key.
		p.run(chromedp.KeyEvent(kb.Backspace))
	}
}

func (p *tab) size(width, height int64) {
	p.t.Helper()
	p.run(chromedp.EmulateViewport(width, height))
}

func (p *tab) scheme(dark bool) {
	p.t.Helper()
	value := "light"
	if dark {
		value = "dark"
	}
	command(p, emulation.SetEmulatedMedia, emulation.SetEmulatedMediaParams{
		Features: []*emulation.MediaFeature{{Name: "prefers-color-scheme", Value: value}},
	})
}

// screenshot keeps a picture of the page among the test's artefacts
// (go test -artifacts).
func (p *tab) screenshot(name string) {
	p.t.Helper()
	picture, err := chromedp.Run(p.ctx, chromedp.CaptureScreenshot())
	if err != nil {
		p.t.Fatal(err)
	}
	if err := os.WriteFile(filepath.Join(p.t.ArtifactDir(), name+".png"), picture, 0o666); err != nil {
		p.t.Fatal(err)
	}
}

// set gives a field a value, as a user does who chooses or types it.
func (p *tab) set(id, value, event string) {
	p.t.Helper()
	got := eval[string](p, fmt.Sprintf(`(() => {
		const field = document.getElementById(%q);
		field.value = %q;
		field.dispatchEvent(new Event(%q));
		return field.value;
	})()`, id, value, event))
	if got != value {
		p.t.Fatalf("%s cannot be %q, it became %q", id, value, got)
	}
}

func (p *tab) search(expression string) {
	p.t.Helper()
	p.set("search", expression, "input")
}

// click clicks the widest box with a name.
func (p *tab) click(name string) {
	p.t.Helper()
	at := eval[[]float64](p, fmt.Sprintf(`(() => {
		const g = staccato.graph;
		const cell = g.rows.flat().filter((c) => c.box.info.name === %q).sort((a, b) => b.width - a.width)[0];
		g.scroller.scrollTop = g.rowOf(cell) * 21 - 60;
		const bounds = g.canvas.getBoundingClientRect();
		return [bounds.left + cell.x + Math.min(cell.width / 2, 20), bounds.top + g.offset + g.rowOf(cell) * 21 + 10];
	})()`, name))
	p.run(chromedp.MouseClickXY(at[0], at[1]))
}
