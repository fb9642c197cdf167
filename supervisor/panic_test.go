package supervisor

import (
	"errors"
	"strings"
	"testing"
)

//go:noinline
func deep(n int) {
	if n == 0 {
		panicsHere()
	}
	deep(n - 1)
}

func recovered(f func()) (err error) {
	defer func() { err = Recovered(recover()) }()
	f()
	return nil
}

func TestStackBeginsAtThePanicAndIsMadeWhenItIsAskedFor(t *testing.T) {
	t.Parallel()
	for name, test := range map[string]struct {
		f     func()
		first string
	}{
		"panic":          {panicsHere, "supervisor.panicsHere\n"},
		"fault":          {func() { var p *fake; p.stop = nil }, "runtime.panicmem\n"},
		"panic within":   {func() { defer func() { panicsHere() }(); panic("first") }, "supervisor.panicsHere\n"},
		"deep recursion": {func() { deep(10_000) }, "supervisor.panicsHere\n"},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			var p *PanicError
			if err := recovered(test.f); !errors.As(err, &p) {
				t.Fatalf("got %v", err)
			}
			stack := string(p.Stack())
			line, _, _ := strings.Cut(stack, "(")
			if !strings.Contains(line, test.first) || !strings.Contains(stack, "panic_test.go:") {
				t.Fatalf("stack begins with %q: %s", line, stack)
			}
			if lines := strings.Count(stack, "\n"); lines > 2*maxFrames {
				t.Fatalf("%d lines", lines)
			}
		})
	}
	if stack := new(PanicError).Stack(); stack != nil {
		t.Fatalf("an error made by hand has the stack %q", stack)
	}
}

func BenchmarkRecovered(b *testing.B) {
	b.ReportAllocs()
	for b.Loop() {
		_ = recovered(panicsHere)
	}
}
