package report_test

import (
	"os"
	"runtime"
	"testing"
)

func TestMain(m *testing.M) {
	// The profiles that goProfiles makes are to hold something.
	runtime.MemProfileRate = 4096
	runtime.SetMutexProfileFraction(1)
	runtime.SetBlockProfileRate(1)
	os.Exit(m.Run())
}
