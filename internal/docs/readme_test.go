package docs_test

import (
	"flag"
	"os"
	"path/filepath"
	"strings"
	"testing"
)

var rewrite = flag.Bool("rewrite", false, "write the generated parts of the documentation anew")

func TestREADMEShowsTheHelloProgram(t *testing.T) {
	t.Parallel()
	source, err := os.ReadFile(filepath.Join(root, "examples", "hello", "main.go"))
	if err != nil {
		t.Fatal(err)
	}
	_, program, _ := strings.Cut(string(source), "\n") // the README says what it is
	name := filepath.Join(root, "README.md")
	readme, err := os.ReadFile(name)
	if err != nil {
		t.Fatal(err)
	}
	before, rest, ok := strings.Cut(string(readme), "```go\n")
	shown, after, end := strings.Cut(rest, "```")
	if !ok || !end {
		t.Fatal("the README has no program")
	}
	if shown == program {
		return
	}
	if !*rewrite {
		t.Fatal("the program in the README is not examples/hello/main.go: run make generate")
	}
	if err := os.WriteFile(name, []byte(before+"```go\n"+program+"```"+after), 0o644); err != nil {
		t.Fatal(err)
	}
}
