package input

import (
	"bufio"
	"errors"
	"fmt"
	"io"
)

// maxLine is how long a line of text may be: names of C++ templates get long,
// and a folded stack has hundreds of them.
const maxLine = 16 << 20

// eachLine calls f with every line, its number and without its end, and says
// where an error was.
func eachLine(r io.Reader, f func(line string) error) error {
	s := bufio.NewScanner(r)
	s.Buffer(make([]byte, 0, 64<<10), maxLine)
	number := 0
	for s.Scan() {
		number++
		if err := f(s.Text()); err != nil {
			return fmt.Errorf("line %d: %w", number, err)
		}
	}
	if err := s.Err(); errors.Is(err, bufio.ErrTooLong) {
		return fmt.Errorf("line %d: longer than %d MiB", number+1, maxLine>>20)
	} else if err != nil {
		return err
	}
	return nil
}
