package main

import (
	"fmt"
	"strconv"
	"time"
)

// duration is a flag for a length of time: 10, 10s, 1m30s; a plain number is
// seconds.
type duration time.Duration

func (d *duration) Type() string { return "duration" }

func (d *duration) String() string {
	if *d == 0 {
		return ""
	}
	return time.Duration(*d).String()
}

func (d *duration) Set(text string) error {
	value, err := time.ParseDuration(text)
	if seconds, numberErr := strconv.ParseUint(text, 10, 31); numberErr == nil {
		value, err = time.Duration(seconds)*time.Second, nil
	}
	if err != nil || value <= 0 {
		return fmt.Errorf("want a time like 10, 10s or 1m")
	}
	*d = duration(value)
	return nil
}
