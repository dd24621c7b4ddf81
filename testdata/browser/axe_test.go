package browser

import (
	"fmt"
	"os"
	"testing"

	"github.com/chromedp/chromedp"
)

// axeScript applies all rules of axe: WCAG A and AA, and its own best practices.
const axeScript = `axe.run(document, {resultTypes: ["violations"]}).then((r) => r.violations.map((v) =>
	({id: v.id, impact: v.impact, help: v.help, where: v.nodes.slice(0, 5).map((n) => n.target.join(" ") + ": " + n.failureSummary)})))`

type violation struct {
	ID, Impact, Help string
	Where            []string
}

// axe finds nothing that keeps people from using the page, in any view.
func TestAccessible(t *testing.T) {
	axe, err := os.ReadFile("axe/node_modules/axe-core/axe.min.js")
	if err != nil {
		t.Fatalf("axe is not installed, run make deps: %v", err)
	}
	one, two := writePage(t, host()), writePage(t, hostWith(3, false), host())
	p := open(t, one, "")
	themes := map[int64][]string{1280: {"light", "dark"}, 400: {"light"}}
	for _, size := range []int64{1280, 400} {
		p.size(size, 800)
		for _, theme := range themes[size] {
			for _, file := range []string{one, two} {
				for _, view := range []string{"flame", "table", "tree", "sandwich"} {
					p.load(file, "#search=Exec&function=3&zoom=0.1&view="+view+"&theme="+theme)
					p.run(evaluate(string(axe)))
					what := fmt.Sprintf("%s, %s, %d pixels, comparison %v", view, theme, size, file == two)
					found, err := chromedp.Run(p.ctx, chromedp.Evaluate[[]violation](axeScript, chromedp.EvalAwaitPromise))
					if err != nil {
						t.Fatal(err)
					}
					for _, v := range found {
						t.Logf("%s: %s (%s): %s\n%q", what, v.ID, v.Impact, v.Help, v.Where)
						if v.Impact == "serious" || v.Impact == "critical" {
							t.Errorf("%s: %s is %s", what, v.ID, v.Impact)
						}
					}
				}
			}
		}
	}
}
