// Package docs_test holds the documentation to what the tests prove.
package docs_test

import (
	"bufio"
	"go/ast"
	"go/parser"
	"go/token"
	"io/fs"
	"os"
	"path/filepath"
	"regexp"
	"strconv"
	"strings"
	"testing"
)

const root = "../.."

var (
	sentence = regexp.MustCompile(`^(\d+)\. `)
	proof    = regexp.MustCompile("`([a-z]+)\\.((?:Test|Fuzz|Example)\\w*)(?:/(\\w+))?`")
)

// tests finds the tests of the module by package and name: the directories of
// their packages.
func tests(t *testing.T) map[string]string {
	t.Helper()
	found := map[string]string{}
	err := filepath.WalkDir(root, func(path string, d fs.DirEntry, err error) error {
		if err != nil {
			return err
		}
		if d.IsDir() {
			if path != root && (isModule(path) || d.Name() == "testdata" || strings.HasPrefix(d.Name(), ".")) {
				return filepath.SkipDir
			}
			return nil
		}
		if !strings.HasSuffix(path, "_test.go") {
			return nil
		}
		return collect(path, found)
	})
	if err != nil {
		t.Fatal(err)
	}
	return found
}

func isModule(dir string) bool {
	_, err := os.Stat(filepath.Join(dir, "go.mod"))
	return err == nil
}

// collect adds the top-level functions of one file, under the name of the
// package that they test.
func collect(path string, found map[string]string) error {
	file, err := parser.ParseFile(token.NewFileSet(), path, nil, parser.SkipObjectResolution)
	if err != nil {
		return err
	}
	pkg := strings.TrimSuffix(file.Name.Name, "_test")
	for _, decl := range file.Decls {
		if f, ok := decl.(*ast.FuncDecl); ok && f.Recv == nil {
			found[pkg+"."+f.Name.Name] = filepath.Dir(path)
		}
	}
	return nil
}

// items returns the numbered sentences of the document, each with its
// continuation lines.
func items(t *testing.T) []string {
	t.Helper()
	f, err := os.Open(filepath.Join(root, "docs", "semantics.md"))
	if err != nil {
		t.Fatal(err)
	}
	defer f.Close()
	var list []string
	in := bufio.NewScanner(f)
	for in.Scan() {
		line := in.Text()
		switch {
		case sentence.MatchString(line):
			list = append(list, line)
		case strings.HasPrefix(line, "   ") && len(list) > 0:
			list[len(list)-1] += " " + strings.TrimSpace(line)
		}
	}
	if err := in.Err(); err != nil {
		t.Fatal(err)
	}
	return list
}

func TestEverySentenceNamesTestsThatExist(t *testing.T) {
	t.Parallel()
	have := tests(t)
	list := items(t)
	if len(list) < 100 {
		t.Fatalf("only %d sentences were found", len(list))
	}
	for i, item := range list {
		number, err := strconv.Atoi(sentence.FindStringSubmatch(item)[1])
		if err != nil || number != i+1 {
			t.Errorf("sentence %d has the number %d: %.60s", i+1, number, item)
		}
		proofs := proof.FindAllStringSubmatch(item, -1)
		if len(proofs) == 0 {
			t.Errorf("sentence %d names no test: %.80s", number, item)
		}
		for _, p := range proofs {
			dir, ok := have[p[1]+"."+p[2]]
			if !ok {
				t.Errorf("sentence %d: there is no test %s.%s", number, p[1], p[2])
			} else if p[3] != "" && !hasScenario(dir, p[3]) {
				t.Errorf("sentence %d: %s has no scenario %s", number, p[1], p[3])
			}
		}
	}
}

// hasScenario reports whether a data-driven test has a file of that name.
func hasScenario(dir, name string) bool {
	matches, err := filepath.Glob(filepath.Join(dir, "testdata", "scenarios", name+"*"))
	return err == nil && len(matches) > 0
}

func TestMissingTestIsNoticed(t *testing.T) {
	t.Parallel()
	have := tests(t)
	if _, ok := have["docs.TestEverySentenceNamesTestsThatExist"]; !ok {
		t.Error("this package was not looked at")
	}
	if _, ok := have["pando.TestThatDoesNotExist"]; ok {
		t.Error("a test was found that does not exist")
	}
	if hasScenario(have["session.TestScenarios"], "no_such_scenario") || !hasScenario(have["session.TestScenarios"], "open") {
		t.Error("scenarios are not told apart")
	}
}
