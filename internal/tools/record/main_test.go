package main

import (
	"bytes"
	"encoding/xml"
	"errors"
	"fmt"
	"io"
	"strings"
	"testing"
)

func TestSplit(t *testing.T) {
	got := split("\r\nopening\r\n\r\n\x1b[1m1. Title\x1b[0m\r\n\r  run 1 of 2\x1b[K\r  run 2 of 2\x1b[K\r\x1b[K  Runs 2\r\n")
	if want := "[[opening] [\x1b[1m1. Title\x1b[0m   Runs 2]]"; fmt.Sprint(got) != want {
		t.Errorf("%q", got)
	}
}

func TestDraw(t *testing.T) {
	var b bytes.Buffer
	draw(&b, [][]string{{"a < b", "\x1b[32m✓\x1b[0m done"}, {"end"}})
	decoder := xml.NewDecoder(&b)
	text := ""
	for {
		token, err := decoder.Token()
		if errors.Is(err, io.EOF) {
			break
		}
		if err != nil {
			t.Fatal(err)
		}
		if data, ok := token.(xml.CharData); ok {
			text += string(data)
		}
	}
	for _, want := range []string{"a < b", "✓ done", "end"} {
		if !strings.Contains(text, want) {
			t.Errorf("it does not show %q", want)
		}
	}
}
