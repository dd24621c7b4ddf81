package main

// style writes in colour, or plainly when it is off. Nothing is said by colour
// alone.
type style bool

// wantColor decides by the environment, see https://no-color.org and
// http://bixense.com/clicolors.
func wantColor(getenv func(string) string, terminal bool) bool {
	if getenv("NO_COLOR") != "" {
		return false
	}
	if force := getenv("CLICOLOR_FORCE"); force != "" && force != "0" {
		return true
	}
	return terminal && getenv("TERM") != "dumb" && getenv("CLICOLOR") != "0"
}

func (s style) paint(code, text string) string {
	if !s || text == "" {
		return text
	}
	return "\x1b[" + code + "m" + text + "\x1b[0m"
}

func (s style) bold(text string) string   { return s.paint("1", text) }
func (s style) red(text string) string    { return s.paint("31", text) }
func (s style) cyan(text string) string   { return s.paint("36", text) }
func (s style) yellow(text string) string { return s.paint("33", text) }
