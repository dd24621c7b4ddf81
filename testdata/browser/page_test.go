package browser

import "testing"

func TestLook(t *testing.T) {
	p := open(t, writePage(t, host()), "")
	p.screenshot("flame")
	p.press("t")
	p.screenshot("table")
	p.press("c")
	p.screenshot("tree")
	p.load(writePage(t, hostWith(3, false), host()), "")
	p.screenshot("diff")
}
