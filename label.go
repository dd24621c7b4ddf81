package staccato

// Keys of the labels that samples carry in pprof. The first five are those of
// Google's perf_data_converter, so that existing habits (-tagfocus=pid=42)
// work.
const (
	LabelPID        = "pid"         // number
	LabelTID        = "tid"         // number
	LabelComm       = "comm"        // process's command name
	LabelThreadComm = "thread_comm" // thread's command name
	LabelContainer  = "container"   // container ID
)
