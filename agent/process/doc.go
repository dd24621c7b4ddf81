// Package process keeps track of the host's live processes: which executable
// each has mapped where, and who the process is. It is the only place that
// opens files of other processes.
//
// A [Table] is told what happens (forks, execs, exits, mappings) in order of
// time, and hands the mappings of each process to the kernel side through an
// [Uploader], as ranges of numbered chunks of executables. From a sample it
// finds the way back: [Table.Frame] for an address that was normalized at
// capture, [Table.Image] for a process and its raw addresses.
//
// Everything read here belongs to strangers who may wish us ill: paths that
// lead elsewhere, files that change, numbers made up. Files are therefore
// opened through the mapping itself where the kernel allows, never read unless
// they are regular, compared with what was mapped, never mapped into our own
// memory, and every count and size has a limit with a counter in [Stats].
package process
