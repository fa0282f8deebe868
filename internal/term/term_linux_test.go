package term

import (
	"bytes"
	"fmt"
	"os"
	"strings"
	"testing"
	"unicode/utf8"

	"golang.org/x/sys/unix"
)

// terminal opens a terminal of that many columns; what is written to it is read
// from the first file.
func terminal(t *testing.T, columns uint16) (reader, writer *os.File) {
	t.Helper()
	reader, err := os.OpenFile("/dev/ptmx", os.O_RDWR, 0)
	if err != nil {
		noTerminal(t, err)
	}
	t.Cleanup(func() { reader.Close() })
	fd := int(reader.Fd())
	if err := unix.IoctlSetPointerInt(fd, unix.TIOCSPTLCK, 0); err != nil {
		noTerminal(t, err)
	}
	number, err := unix.IoctlGetInt(fd, unix.TIOCGPTN)
	if err != nil {
		noTerminal(t, err)
	}
	writer, err = os.OpenFile(fmt.Sprintf("/dev/pts/%d", number), os.O_RDWR|unix.O_NOCTTY, 0)
	if err != nil {
		noTerminal(t, err)
	}
	t.Cleanup(func() { writer.Close() })
	if err := unix.IoctlSetWinsize(int(writer.Fd()), unix.TIOCSWINSZ, &unix.Winsize{Row: 24, Col: columns}); err != nil {
		t.Fatal(err)
	}
	return reader, writer
}

// noTerminal skips a test where none can be opened, which the gate must not do.
func noTerminal(t *testing.T, err error) {
	t.Helper()
	const why = "no terminal can be opened here: "
	if os.Getenv("CI") != "" {
		t.Fatal(why, err)
	}
	t.Skip(why, err)
}

// Colours are for terminals that have them, and for people who want them.
func TestColors(t *testing.T) {
	for _, test := range []struct {
		name, noColor, term string
		terminal, want      bool
	}{
		{"a terminal", "", "xterm", true, true},
		{"NO_COLOR", "1", "xterm", true, false},
		{"TERM=dumb", "", "dumb", true, false},
		{"a file", "", "xterm", false, false},
	} {
		t.Run(test.name, func(t *testing.T) {
			t.Setenv("NO_COLOR", test.noColor)
			t.Setenv("TERM", test.term)
			file, err := os.CreateTemp(t.TempDir(), "")
			if err != nil {
				t.Fatal(err)
			}
			defer file.Close()
			if test.terminal {
				_, file = terminal(t, 80)
			}
			if got := Colors(file); got != test.want {
				t.Errorf("colours: %t", got)
			}
		})
	}
	if Colors(&bytes.Buffer{}) {
		t.Error("colours outside of a terminal")
	}
}

// What a table takes on a terminal of 80 columns is at most that, and a pipe gets
// all of it.
func TestTableOnTerminal(t *testing.T) {
	rows := [][]Cell{{{Text: "NAME"}, {Text: "PROBLEM", Fit: Cut}}, {{Text: "eu-1"}, {Text: strings.Repeat("long ", 40) + "."}}}
	reader, writer := terminal(t, 80)
	if Width(writer) != 80 {
		t.Fatalf("the terminal has %d columns", Width(writer))
	}
	if err := Table(writer, false, rows...); err != nil {
		t.Fatal(err)
	}
	buffer := make([]byte, 4096)
	n, err := reader.Read(buffer)
	if err != nil {
		t.Fatal(err)
	}
	for line := range strings.Lines(string(buffer[:n])) {
		if line = strings.TrimRight(line, "\r\n"); utf8.RuneCountInString(line) > 80 || strings.HasPrefix(line, "eu-1") && !strings.HasSuffix(line, "…") {
			t.Errorf("%q", line)
		}
	}
	from, pipe, err := os.Pipe()
	if err != nil {
		t.Fatal(err)
	}
	defer from.Close()
	if err := Table(pipe, false, rows...); err != nil {
		t.Fatal(err)
	}
	pipe.Close()
	n, err = from.Read(buffer)
	if err != nil || !strings.Contains(string(buffer[:n]), rows[1][1].Text) {
		t.Errorf("a pipe gets %q, %v", buffer[:n], err)
	}
}
