package process

// A generation is when the process began, in nanoseconds since boot (suspended
// time included), with its low 10 bits replaced by the number of execs.
const execBits = 10

// newer says that generation a of a PID is later than b. The number of execs
// may have wrapped around.
func newer(a, b uint64) bool {
	if a>>execBits != b>>execBits {
		return a>>execBits > b>>execBits
	}
	const mask = 1<<execBits - 1
	ahead := (a - b) & mask
	return ahead != 0 && ahead < 1<<(execBits-1)
}

// startedAt says that the generation belongs to a process that began at a time
// given in the ticks of /proc/PID/stat.
func startedAt(generation, ticks uint64) bool {
	const tick = 1e9 / ticksPerSecond
	first := generation >> execBits << execBits
	// The replaced bits may carry the time over into the next tick.
	return first/tick == ticks || (first+1<<execBits-1)/tick == ticks
}
