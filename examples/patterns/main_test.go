package main

import (
	"bytes"
	"os"
	"strings"
	"testing"

	"go.uber.org/goleak"
)

func TestMain(m *testing.M) { goleak.VerifyTestMain(m) }

func TestREADMEShowsWhatIsPrinted(t *testing.T) {
	t.Parallel()
	readme, err := os.ReadFile("README.md")
	if err != nil {
		t.Fatal(err)
	}
	for _, s := range shows {
		t.Run(s.name, func(t *testing.T) {
			t.Parallel()
			var out bytes.Buffer
			if err := show(t.Context(), s.name, &out); err != nil {
				t.Fatalf("%v\n%s", err, out.String())
			}
			shown := "    " + s.name + ":\n"
			for line := range strings.Lines(out.String()) {
				shown += "    " + line
			}
			if !strings.Contains(string(readme), shown) {
				t.Errorf("the README does not show this:\n%s", shown)
			}
		})
	}
	if err := show(t.Context(), "nothing", new(bytes.Buffer)); err == nil {
		t.Error("there is no such program")
	}
}
