// Package guest holds tests for virtual machines with little more than a
// kernel: no compiler, no shell worth the name, and a clock that cannot be
// relied on. They check that every sample is accounted for and that stacks have
// their names, not rates.
package guest
