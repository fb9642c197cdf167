package supervisor

import (
	"fmt"
	"runtime"
	"strings"
	"testing"

	"github.com/cockroachdb/datadriven"
)

func TestTemplateMakesChildrenFromArguments(t *testing.T) {
	bubble(t, func(t *testing.T) {
		s := serve(t, Options{Strategy: Dynamic, MaxChildren: 2})
		template := Template[int](func(n int) Spec {
			switch n {
			case -1:
				panic(errBoom)
			case -2:
				runtime.Goexit()
			}
			return Spec{ID: fmt.Sprint(n), Process: &fake{}}
		})
		wantError(t, template.Start(t.Context(), s.Supervisor, -1), ErrStartFailed, errBoom)
		wantError(t, template.Start(t.Context(), s.Supervisor, -2), ErrStartFailed, ErrGoexit)
		noError(t, template.Start(t.Context(), s.Supervisor, 1))
		wantError(t, template.Start(t.Context(), s.Supervisor, 1), ErrDuplicate)
		noError(t, template.Start(t.Context(), s.Supervisor, 2))
		wantError(t, template.Start(t.Context(), s.Supervisor, 3), ErrTooMany)
		noError(t, s.Terminate(t.Context(), "1"))
		noError(t, template.Start(t.Context(), s.Supervisor, 3))
	})
}

func TestKeyAlwaysHasTheSamePart(t *testing.T) {
	bubble(t, func(t *testing.T) {
		p := NewPartitioned(Options{Name: "shards", Logger: discard()}, 4, func(i int) (*Supervisor, Spec) {
			part := New(Options{Strategy: Dynamic, Logger: discard()})
			return part, Spec{ID: fmt.Sprint(i), Service: part}
		})
		s := serveOn(t, t.Context(), p.Supervisor)
		part := p.For("x")
		noError(t, part.StartChild(t.Context(), Spec{ID: "x", Process: &fake{}}))
		of, id, err := s.Find("shards/" + fmt.Sprint(partition("x", 4)))
		noError(t, err)
		noError(t, of.Restart(t.Context(), id))
		if p.For("x") != part || part.Snapshot().State != Running || len(p.All()) != 4 {
			t.Fatalf("the part is %+v", part.Snapshot())
		}
	})
}

func TestPartsAreAsManyAsProcessorsIfTheirNumberIsNotSaid(t *testing.T) {
	t.Parallel()
	p := NewPartitioned(Options{}, 0, func(i int) (int, Spec) { return i, Spec{} })
	if len(p.All()) != runtime.GOMAXPROCS(0) {
		t.Fatalf("%d parts", len(p.All()))
	}
}

// TestPartitions runs testdata/partition: the parts that keys belong to. They must not change from one version to the
// next, since what a part keeps on disk may belong to its keys.
func TestPartitions(t *testing.T) {
	t.Parallel()
	datadriven.RunTest(t, "testdata/partition", func(t *testing.T, d *datadriven.TestData) string {
		var n, keys int
		d.ScanArgs(t, "n", &n)
		var b strings.Builder
		for key := range strings.Lines(d.Input) {
			key = strings.TrimSuffix(key, "\n")
			fmt.Fprintf(&b, "%s %d\n", key, partition(key, n))
		}
		if d.MaybeScanArgs(t, "keys", &keys) {
			sizes := make([]int, n)
			for i := range keys {
				sizes[partition(fmt.Sprintf("key-%d", i), n)]++
			}
			fmt.Fprintf(&b, "sizes %v\n", sizes)
		}
		return b.String()
	})
}
