// Package agent runs the profiler: it loads the kernel side, keeps track of
// processes, names frames, adds samples up and hands profiles over. The local
// commands and the fleet agent are both a [Profiler].
package agent
