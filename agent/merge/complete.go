package merge

import "cmp"

// Completeness says how many stacks of the processes with one name are whole.
type Completeness struct {
	// Name is the command name.
	Name string
	// PID is 0 when there are several processes with this name.
	PID int
	// Samples have a user part; Complete of them are whole.
	Samples, Complete int64
	// Truncated counts the others, by cause.
	Truncated map[string]uint64
}

// completeness finds, or begins, the sums of a process's name.
func (m *Merger) completeness(name string, pid int) *Completeness {
	c := m.complete[name]
	if c == nil {
		c = &Completeness{Name: name, PID: pid}
		m.complete[name] = c
	} else if c.PID != pid {
		c.PID = 0
	}
	return c
}

// add adds n samples whose stacks are not whole because of cause, "" if they are.
func (c *Completeness) add(n int64, cause string) {
	c.Samples += n
	if cause == "" {
		c.Complete += n
		return
	}
	if c.Truncated == nil {
		c.Truncated = make(map[string]uint64)
	}
	c.Truncated[cause] += uint64(n)
}

// worse compares names: first those of which most samples are not whole.
func worse(a, b Completeness) int {
	return cmp.Or(cmp.Compare(b.Samples-b.Complete, a.Samples-a.Complete), cmp.Compare(a.Name, b.Name))
}
