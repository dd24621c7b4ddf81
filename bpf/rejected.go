package bpf

import (
	"errors"
	"fmt"
	"strings"

	"github.com/cilium/ebpf"
)

// RejectedError is a program that the kernel's verifier refused.
type RejectedError struct {
	Object string
	// Line is the source line of the instruction that was refused, "" when
	// the verifier's log names none.
	Line string
	// Log are the last lines of the verifier's log.
	Log []string
	// Hint says what to do.
	Hint string
	err  error
}

func (e *RejectedError) Unwrap() error { return e.err }

func (e *RejectedError) Error() string {
	var b strings.Builder
	fmt.Fprintf(&b, "the kernel rejected a program of object %s", e.Object)
	if e.Line != "" {
		fmt.Fprintf(&b, "\n  at      %s", e.Line)
	}
	for _, l := range e.Log {
		fmt.Fprintf(&b, "\n  kernel  %s", l)
	}
	fmt.Fprintf(&b, "\n  %s", e.Hint)
	return b.String()
}

const keptLogLines = 8

// explain turns the kernel's refusal of a program into a *RejectedError; other
// errors keep their cause.
func explain(object string, err error) error {
	ve := verifierError(err)
	if ve == nil || len(ve.Log) == 0 {
		return fmt.Errorf("load object %s: %w", object, err)
	}
	r := &RejectedError{Object: object, err: err}
	r.Line, r.Log = lastLines(ve.Log)
	r.Hint = hint(r.Log)
	return r
}

func verifierError(err error) *ebpf.VerifierError {
	var ve *ebpf.VerifierError
	if errors.As(err, &ve) {
		return ve
	}
	return nil
}

func rejected(err error) *RejectedError {
	var r *RejectedError
	if errors.As(err, &r) {
		return r
	}
	return nil
}

// lastLines finds the source line in force at the end of the log (the verifier
// prints "; source @ file:line" before the instructions of each line), and the
// last lines that say something.
func lastLines(log []string) (source string, last []string) {
	for _, l := range log {
		l = strings.TrimSpace(l)
		if strings.HasPrefix(l, "Verification failed:") {
			break // since 7.3: the same once more, in many words
		}
		switch {
		case strings.HasPrefix(l, ";"):
			source = strings.TrimSpace(strings.TrimPrefix(l, ";"))
		case l != "" && !strings.HasPrefix(l, "processed ") && !strings.HasPrefix(l, "stack depth "):
			last = append(last, l)
		}
	}
	if len(last) > keptLogLines {
		last = last[len(last)-keptLogLines:]
	}
	return source, last
}

const lockedDownHint = "The kernel's lockdown is in mode confidentiality: boot without lockdown=confidentiality."

// hints by what the verifier says; the first that fits is used.
var hints = []struct{ text, hint string }{
	// Every kernel that has the rest has these, but not while locked down.
	{"unknown func bpf_probe_read", lockedDownHint},
	{"cannot use helper bpf_probe_read", lockedDownHint},
	{"unknown func", "This kernel lacks a helper that staccato needs: it needs Linux 5.15 or later."},
	{"invalid func", "This kernel lacks a helper that staccato needs: it needs Linux 5.15 or later."},
	{"too many", "This kernel's verifier gave up on the size of the program: please report it with `staccato doctor`."},
	{"too large", "This kernel's verifier gave up on the size of the program: please report it with `staccato doctor`."},
	{"failed to find kernel BTF", "The kernel has no type information (CONFIG_DEBUG_INFO_BTF): use your distribution's standard kernel."},
	{"CO-RE", "A kernel structure that staccato reads is missing here: please report it with `staccato doctor`."},
}

func hint(log []string) string {
	all := strings.Join(log, "\n")
	for _, h := range hints {
		if strings.Contains(all, h.text) {
			return h.hint
		}
	}
	return "This is a fault of staccato on this kernel: please report it with the output of `staccato doctor`."
}
