package otlp

import (
	"math/rand/v2"
	"time"
)

// maxServerDelay bounds how long a server can make the exporter wait: the
// queue fills meanwhile.
const maxServerDelay = 5 * time.Minute

// answer is what came of one attempt to send a request.
type answer struct {
	// err is nil when the server accepted the request.
	err error
	// retry says that sending the same again may succeed.
	retry bool
	// after is how long the server wants to be left alone, 0 when it did not
	// say.
	after time.Duration
	// content says that the server understood the request and did not like
	// what is in it.
	content bool
	// rejected is how many profiles of an accepted request the server did not
	// take, and message is why; it may be a warning only.
	rejected int64
	message  string
}

// delay returns how long to wait before the next attempt, after so many have
// failed (1 or more). A server's wish comes first.
func (c Config) delay(failed int, after time.Duration) time.Duration {
	if after > 0 {
		return min(after, maxServerDelay)
	}
	d := c.RetryMin
	for range failed - 1 {
		if d *= 2; d >= c.RetryMax {
			d = c.RetryMax
			break
		}
	}
	// Varied, so that agents that failed together do not come back together.
	return d/2 + rand.N(d+1)
}
