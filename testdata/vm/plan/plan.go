// Package plan is what the runner on the host and the first process of a
// virtual machine agree on.
package plan

// File is where the virtual machine finds its list of [Run], in JSON.
const File = "/plan.json"

// Run is a program to run in the virtual machine.
type Run struct {
	// Name stands for the run in tables.
	Name string
	Args []string
	Env  []string
}

// The virtual machine prints these lines before and after each run. Both end
// with the number of the run, the second with its exit code too.
const (
	Begin = "@@BEGIN"
	End   = "@@END"
)
