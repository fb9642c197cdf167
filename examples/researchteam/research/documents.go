package research

import (
	"embed"
	"io/fs"
	"path"
	"strings"
	"sync"
	"unicode"
)

//go:embed documents/*.txt
var files embed.FS

// document is one text of the set: a title, where it comes from, and sentences.
type document struct {
	name, title, source string // source is "none" if nobody vouches for it
	sentences           []string
}

// documents returns the set, sorted by name. It is read once.
var documents = sync.OnceValue(func() []document {
	names, err := fs.Glob(files, "documents/*.txt")
	if err != nil {
		panic(err) // the pattern is wrong
	}
	var all []document
	for _, n := range names {
		text, err := files.ReadFile(n)
		if err != nil {
			panic(err) // it is in the program
		}
		all = append(all, parse(strings.TrimSuffix(path.Base(n), ".txt"), string(text)))
	}
	return all
})

// parse reads a title, a line "source: …", an empty line, and the text.
func parse(name, text string) document {
	head, body, _ := strings.Cut(text, "\n\n")
	title, source, _ := strings.Cut(head, "\n")
	d := document{name: name, title: title, source: strings.TrimPrefix(source, "source: ")}
	for s := range strings.SplitSeq(strings.TrimSpace(body), ". ") {
		d.sentences = append(d.sentences, strings.TrimSuffix(s, ".")+".")
	}
	return d
}

// find returns a document by its name.
func find(name string) (document, bool) {
	for _, d := range documents() {
		if d.name == name {
			return d, true
		}
	}
	return document{}, false
}

// says reports whether a sentence is in the document, word for word.
func (d document) says(sentence string) bool {
	for _, s := range d.sentences {
		if s == sentence {
			return true
		}
	}
	return false
}

// candidates are the sentences that share a word with a query, in the order of
// the set. searcher.py does the same.
func candidates(query string) []Claim {
	var all []Claim
	wanted := terms(query)
	for _, d := range documents() {
		for _, s := range d.sentences {
			if shared(wanted, s) > 0 {
				all = append(all, Claim{Part: query, Text: s, Document: d.name})
			}
		}
	}
	return all
}

// shared counts the words of a set that a text has.
func shared(wanted map[string]bool, text string) int {
	n := 0
	for t := range terms(text) {
		if wanted[t] {
			n++
		}
	}
	return n
}

// terms are the words of a text that say something, without endings.
func terms(text string) map[string]bool {
	set := map[string]bool{}
	for _, w := range strings.FieldsFunc(strings.ToLower(text), func(r rune) bool { return !unicode.IsLetter(r) }) {
		if len(w) < 3 || strings.Contains(stopWords, " "+w+" ") {
			continue
		}
		for _, ending := range []string{"ing", "ed", "es", "s"} {
			if strings.HasSuffix(w, ending) && len(w)-len(ending) >= 4 {
				w = strings.TrimSuffix(w, ending)
				break
			}
		}
		set[w] = true
	}
	return set
}

const stopWords = " about and are can does for from how its most not that the their them they this what when where which who why will with "
