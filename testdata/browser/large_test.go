package browser

import (
	"os"
	"testing"
)

func TestSizes(t *testing.T) {
	file := writePage(t, many(100_000))
	info, _ := os.Stat(file)
	t.Log(info.Size())
	p := open(t, file, "")
	t.Log(eval[float64](p, "performance.getEntriesByName('ready')[0].startTime"))
	t.Log(eval[[]float64](p, "[staccato.profile.tree.size, staccato.profile.rows.node.length, staccato.graph.rows.length, staccato.graph.rows.flat().length]"))
	for _, q := range []string{"function_1", "function_.*7", "component5.*\\(int", "e", "nothing like it", "a|b|c|d"} {
		t.Log(q, eval[float64](p, `(() => { const t = performance.now(); staccato.change({search: "`+q+`"}, true); return performance.now() - t; })()`))
	}
	for _, q := range []string{"{reverse: true}", "{by: 'process'}", "{reverse: false}", "{view:'table'}", "{view:'tree'}", "{view:'sandwich', function: 5}", "{process: 'process-3 (1003)'}"} {
		t.Log(q, eval[float64](p, `(() => { const t = performance.now(); staccato.change(`+q+`); return performance.now() - t; })()`))
	}
}
