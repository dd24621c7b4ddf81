package main

import (
	"errors"
	"fmt"
	"text/tabwriter"

	"github.com/spf13/cobra"

	"github.com/staccato-profiler/staccato/agent"
)

// doctorReport says whether and how well this host can be profiled.
type doctorReport struct {
	Host     []fact
	Features []feature
	Programs []programReport
	Findings []finding
}

// fact is something to know about this host.
type fact struct{ Name, Value string }

// feature is something that some kernels lack; Since is the first one that has
// it, "" when that is not a matter of its version. Without says what is done
// where it is missing, "" where nothing can be.
type feature struct {
	Name, Since string
	Have        bool
	// Unknown features could not be tried.
	Unknown bool
	Without string
}

// programReport is what the kernel said to one eBPF program.
type programReport struct {
	Object, Name, Type string
	// Instructions is how many the verifier processed, JITed the size of the
	// machine code in bytes; 0 when the kernel does not tell.
	Instructions, JITed int
	// Attached says to what it was attached. Err is why loading or attaching
	// failed, nil when it did not.
	Attached string
	Err      error
}

// finding is something that profiling this host lacks.
type finding struct {
	What, Why, Fix string
	// Fatal says that without it nothing can be profiled.
	Fatal bool
}

func examine() (doctorReport, error) {
	from, err := agent.Examine()
	if err != nil {
		return doctorReport{}, err
	}
	var report doctorReport
	for _, f := range from.Host {
		report.Host = append(report.Host, fact(f))
	}
	for _, f := range from.Features {
		report.Features = append(report.Features, feature{f.Name, f.Since, f.Have, f.Unknown, f.Without})
	}
	for _, p := range from.Programs {
		report.Programs = append(report.Programs, programReport(p))
	}
	for _, f := range from.Findings {
		report.Findings = append(report.Findings, finding{f.What, f.Why, f.Fix, f.Fatal})
	}
	return report, nil
}

func (a *app) doctorCommand() *cobra.Command {
	return &cobra.Command{
		Use:   "doctor",
		Short: "Check whether this host can be profiled",
		Long: "Doctor loads every eBPF program, attaches it for a moment, and prints what the\n" +
			"kernel is, has and says to them, then what is missing and how to fix it. It exits\n" +
			"with 0 when this host can be profiled and with 1 when not.",
		Args: cobra.NoArgs,
		RunE: func(*cobra.Command, []string) error {
			report, err := a.doctor()
			if err != nil {
				return fmt.Errorf("examine this host: %w", err)
			}
			return a.printDoctor(report)
		},
	}
}

func (a *app) printDoctor(report doctorReport) error {
	fatal := false
	table := tabwriter.NewWriter(a.stdout, 0, 0, 2, ' ', 0)
	for _, f := range report.Host {
		fmt.Fprintf(table, "%s\t%s\n", f.Name, printable(f.Value))
	}
	fmt.Fprintln(table, "\nfeature\tsince\there")
	for _, f := range report.Features {
		here := "yes"
		switch {
		case f.Unknown:
			here = "unknown, for want of privileges"
		case f.Have:
		case f.Without == "":
			here = "no, but needed"
		default:
			here = "no: " + f.Without
		}
		fmt.Fprintf(table, "%s\t%s\t%s\n", f.Name, f.Since, here)
	}
	fmt.Fprintln(table, "\nprogram\ttype\tinstructions\tJITed bytes\tresult")
	for _, p := range report.Programs {
		result := p.Attached
		if p.Err != nil {
			result = "failed: " + p.Err.Error()
			fatal = true
		}
		fmt.Fprintf(table, "%s/%s\t%s\t%s\t%s\t%s\n", p.Object, p.Name, p.Type, orUnknown(p.Instructions), orUnknown(p.JITed), result)
	}
	if err := table.Flush(); err != nil {
		return fmt.Errorf("print report: %w", err)
	}
	for _, f := range report.Findings {
		mark := "note"
		if f.Fatal {
			mark, fatal = "MISSING", true
		}
		fmt.Fprintf(a.stdout, "\n%s: %s\n  Why: %s\n", mark, f.What, f.Why)
		if f.Fix != "" {
			fmt.Fprintf(a.stdout, "  Fix: %s\n", f.Fix)
		}
	}
	if fatal {
		return &exitError{code: exitFailure, err: errors.New("this host cannot be profiled as it is")}
	}
	fmt.Fprintln(a.stdout, "\nThis host can be profiled.")
	return nil
}

func orUnknown(n int) string {
	if n == 0 {
		return "?"
	}
	return fmt.Sprint(n)
}
