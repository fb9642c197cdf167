package system_test

import (
	"context"
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/pando-agents/pando/system"
)

// settings is a configuration with everything that one may have.
type settings struct {
	To     system.Address
	Others []system.Address
	Pace   time.Duration
	Size   uint8
	Ratio  float64
	Loud   bool
	Words  map[string]string
	Deep   *settings
	Odd    odd
	Nest   nest
}

// nest is a list of lists.
type nest []nest

// odd refuses even numbers.
type odd struct{ N int }

func (o odd) Validate() error {
	if o.N%2 == 0 && o.N != 0 {
		return errors.New("even numbers are refused")
	}
	return nil
}

func catalogue() *system.Catalogue {
	c := new(system.Catalogue)
	system.Register(c, "test.actor", "does nothing", func(context.Context, *system.Host, settings) error { return nil })
	system.Register(c, "test.other", "does nothing", func(context.Context, *system.Host, struct{}) error { return nil })
	return c
}

// TestProblems reads testdata/check: each file says in comments what is wrong
// with the line.
func TestProblemsAreToldWithLineAndColumn(t *testing.T) {
	t.Parallel()
	names, err := filepath.Glob("testdata/check/*.yaml")
	if err != nil || len(names) < 5 {
		t.Fatal(names, err)
	}
	for _, name := range names {
		t.Run(filepath.Base(name), func(t *testing.T) {
			t.Parallel()
			data, err := os.ReadFile(name)
			if err != nil {
				t.Fatal(err)
			}
			var want []string
			for i, line := range strings.Split(string(data), "\n") {
				for rest := line; ; {
					_, after, found := strings.Cut(rest, "#! ")
					if !found {
						break
					}
					one, next, _ := strings.Cut(after, " #!")
					want = append(want, fmt.Sprintf("%s:%d:%s", name, i+1, one))
					if rest = ""; next != "" {
						rest = "#!" + next
					}
				}
			}
			_, err = system.Load(name, catalogue())
			got := ""
			if err != nil {
				got = err.Error()
			}
			if got != strings.Join(want, "\n") {
				t.Errorf("problems:\n%s\nwanted:\n%s", got, strings.Join(want, "\n"))
			}
		})
	}
}

func TestFileThatIsNoneIsRefused(t *testing.T) {
	t.Parallel()
	for what, c := range map[string]struct{ text, says string }{
		"empty":           {"", "f:1:1: the file is empty"},
		"no yaml":         {"system: [", "f:1:1: did not find expected node content"},
		"large":           {strings.Repeat("#", system.MaxFile+1), "has more than"},
		"second document": {"system: a\n---\nsystem: b\n", "f:2:1: there is a second document"},
		"list":            {"- a\n", "a mapping is wanted here, not a list"},
		"alias bomb": {"system: s\nagents:\n  a:\n    actors:\n      x:\n        new: test.actor\n        with:\n          nest:\n" +
			"            - &l0 [[], [], [], [], [], [], [], [], [], []]\n" + repeat(8) + "\n", "there is too much here"},
		"endless": {"system: s\nagents:\n  a:\n    actors:\n      x:\n        new: test.actor\n        with: &w {deep: *w}\n", "there is too much here"},
	} {
		_, err := system.Parse("f", []byte(c.text), catalogue())
		var problems system.Problems
		if !errors.As(err, &problems) || !strings.Contains(err.Error(), c.says) {
			t.Errorf("%s: %.300v", what, err)
		}
	}
	if _, err := system.Load("testdata/none.yaml", catalogue()); !errors.Is(err, os.ErrNotExist) {
		t.Error(err)
	}
}

// repeat makes lists of ten aliases of the list before.
func repeat(n int) string {
	var b strings.Builder
	for i := range n {
		a := fmt.Sprintf("*l%d", i)
		fmt.Fprintf(&b, "            - &l%d [%s]\n", i+1, strings.Join([]string{a, a, a, a, a, a, a, a, a, a}, ", "))
	}
	return b.String()
}

func TestFileIsReadAsItIsWritten(t *testing.T) {
	t.Parallel()
	f, err := system.Load("testdata/good.yaml", catalogue())
	if err != nil {
		t.Fatal(err)
	}
	if f.Name != "good" || f.Ask.String() != "b/y" || len(f.Agents) != 3 || f.Registry.Listen != "127.0.0.1:9443" {
		t.Errorf("%+v", f)
	}
	a, b, p := f.Agent("a"), f.Agent("b"), f.Agent("p")
	if fmt.Sprint(a.TalksTo, b.TalksTo, p.TalksTo) != "[b p] [a] [a]" {
		t.Error("permissions are not mutual:", a.TalksTo, b.TalksTo, p.TalksTo)
	}
	if a.Listen != "127.0.0.1:9001" || b.Listen != ":9002" || b.Cert != "cert.pem" || !p.External || len(p.Command) != 2 || p.SDK != "python" {
		t.Errorf("%+v %+v %+v", a, b, p)
	}
	if y := b.Actors[0]; y.Name != "y" || y.New != "test.actor" || !y.ByType || len(y.Expose) != 1 || !a.Actors[0].ExposeAll {
		t.Errorf("%+v", b.Actors[0])
	}
}

// FuzzParse: no file makes it panic or take long.
func FuzzParse(f *testing.F) {
	names, _ := filepath.Glob("testdata/*/*.yaml")
	for _, name := range append(names, "testdata/good.yaml") {
		if data, err := os.ReadFile(name); err == nil {
			f.Add(data)
		}
	}
	c := catalogue()
	f.Fuzz(func(t *testing.T, data []byte) {
		file, err := system.Parse("f", data, c)
		if (file == nil) == (err == nil) {
			t.Error("neither a file nor an error, or both")
		}
		if len(data) < system.MaxFile && err != nil && err.Error() == "" {
			t.Error("an error without a text")
		}
	})
}

// TestTheDocumentedFile holds docs/system.md to what Load takes.
func TestTheDocumentedFileHasNoProblems(t *testing.T) {
	t.Parallel()
	page, err := os.ReadFile("../docs/system.md")
	if err != nil {
		t.Fatal(err)
	}
	_, rest, _ := strings.Cut(string(page), "```yaml\n")
	text, _, found := strings.Cut(rest, "```")
	if !found {
		t.Fatal("the page shows no file")
	}
	c := new(system.Catalogue)
	system.Register(c, "shop.stock", "", func(context.Context, *system.Host, struct{}) error { return nil })
	system.Register(c, "shop.till", "", func(context.Context, *system.Host, struct {
		Stock, Prices system.Address
		Patience      time.Duration
	}) error {
		return nil
	})
	if _, err := system.Parse("docs/system.md", []byte(text), c); err != nil {
		t.Error(err)
	}
}
