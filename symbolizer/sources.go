package symbolizer

import (
	"errors"
	"fmt"

	"github.com/staccato-profiler/staccato"
	"github.com/staccato-profiler/staccato/symbolizer/debugfile"
	"github.com/staccato-profiler/staccato/symbolizer/elffile"
	"github.com/staccato-profiler/staccato/symbolizer/elfsym"
	"github.com/staccato-profiler/staccato/symbolizer/gopclntab"
	"github.com/staccato-profiler/staccato/symbolizer/kallsyms"
)

// kernelSources reads the kernel's symbols from the file at path.
func kernelSources(path string) func() ([]source, string) {
	return func() ([]source, string) {
		t, err := kallsyms.Load(path)
		if err != nil {
			return nil, err.Error()
		}
		return []source{{Resolver: t}}, ""
	}
}

// fileSources reads the symbols of an executable and of the files that describe
// it, the best source first. All of them together take at most limit bytes.
func fileSources(m *staccato.Mapping, limit int64, search debugfile.Config) func() ([]source, string) {
	return func() ([]source, string) {
		file, err := elffile.Open(m.File)
		if err != nil {
			return nil, err.Error()
		}
		set := debugfile.Find(m, file, search)
		defer set.Close()
		var sources []source
		var reasons []error
		config := elfsym.Config{Limit: limit, More: set.Symbols()}

		lines, err := gopclntab.New(file, gopclntab.Config{Limit: limit})
		switch {
		case err == nil:
			sources = append(sources, source{Resolver: lines, kind: staccato.KindGo})
			config.SkipStart, config.SkipLimit = lines.Range()
			config.Limit -= lines.Size()
			if !lines.Inlined() {
				reasons = append(reasons, errors.New("inlined calls of this release of Go are not known"))
			}
		case !errors.Is(err, gopclntab.ErrNoTable):
			reasons = append(reasons, err)
		}

		// Go programs have functions in C, too; all others have no Go table.
		symbols, err := elfsym.New(file, config)
		if err != nil && len(config.More) > 0 {
			// What is wrong with other files does not touch the executable's own.
			reasons = append(reasons, err)
			config.More = nil
			symbols, err = elfsym.New(file, config)
		}
		switch {
		case err == nil:
			sources = append(sources, source{Resolver: symbols})
		case !errors.Is(err, elfsym.ErrNoSymbols) || len(sources) == 0:
			reasons = append(reasons, err)
		}
		if lines == nil && set.Stripped() && set.Reason != "" {
			reasons = append(reasons, errors.New(set.Reason))
		}
		return sources, reason(reasons)
	}
}

// reason joins errors into one line.
func reason(errs []error) string {
	text := ""
	for _, err := range errs {
		if text != "" {
			text = fmt.Sprintf("%s; %s", text, err)
		} else {
			text = err.Error()
		}
	}
	return text
}
