package identity

import (
	"fmt"
	"strings"
)

// statement is one statement of a .env file: an assignment, which may span
// lines, or a line that is none (blank or a comment), with an empty name.
type statement struct {
	name  string
	value string
	raw   string // exactly as in the file, with its line end
	line  int    // of its start, from 1
	// expand tells that ${NAME} in value means another variable.
	expand bool
}

// parseDotenv splits a .env file by the rules of python-dotenv, which the
// Python SDK reads it with: KEY=value, export KEY=value, values bare (up to a
// blank and #), in single quotes or in double quotes, quoted ones with escapes
// and over several lines. Lines that are none of these are left alone, as there,
// unless they would set one of our own variables: then the error names the
// line, never its text.
func parseDotenv(text string) ([]statement, error) {
	text = strings.TrimPrefix(text, "\ufeff")
	var out []statement
	for pos, line := 0, 1; pos < len(text); {
		s, n, err := parseStatement(text[pos:])
		if err != nil {
			return nil, fmt.Errorf("line %d: %w", line, err)
		}
		s.raw, s.line = text[pos:pos+n], line
		line += strings.Count(s.raw, "\n")
		pos += n
		out = append(out, s)
	}
	return out, nil
}

// parseStatement reads the first statement of text and returns its length.
func parseStatement(text string) (statement, int, error) {
	first, _, found := strings.Cut(text, "\n")
	length := len(first)
	if found {
		length++
	}
	trimmed := strings.TrimSpace(first)
	if trimmed == "" || trimmed[0] == '#' {
		return statement{}, length, nil
	}
	head, bare, ok := strings.Cut(first, "=")
	name := strings.TrimSpace(head)
	if rest, exported := strings.CutPrefix(name, "export"); exported && strings.TrimLeft(rest, " \t") != rest {
		name = strings.TrimSpace(rest)
	}
	if !ok || name == "" || strings.ContainsAny(name, " \t\"'#") {
		return statement{}, length, nil
	}
	start := len(head) + 1
	start += len(bare) - len(strings.TrimLeft(bare, " \t"))
	s := statement{name: name}
	if start == len(first) || (text[start] != '"' && text[start] != '\'') {
		s.value, s.expand = bareValue(bare), true
		return s, length, nil
	}
	value, n, err := parseQuoted(text[start:])
	if err == nil {
		var end int
		if end, err = restOfLine(text[start+n:]); err == nil {
			s.value, s.expand = value, text[start] == '"'
			return s, start + n + end, nil
		}
	}
	if strings.HasPrefix(name, "AUTHED_") {
		return statement{}, 0, err
	}
	return statement{}, length, nil
}

// bareValue drops a comment, which starts after a blank, and the blanks around.
func bareValue(s string) string {
	s = strings.TrimSpace(s)
	for i := 1; i < len(s); i++ {
		if s[i] == '#' && (s[i-1] == ' ' || s[i-1] == '\t') {
			return strings.TrimSpace(s[:i])
		}
	}
	return s
}

func parseQuoted(text string) (value string, length int, err error) {
	quote := text[0]
	var b strings.Builder
	for i := 1; i < len(text); i++ {
		switch c := text[i]; {
		case c == quote:
			return b.String(), i + 1, nil
		case c == '\\' && i+1 < len(text):
			i++
			b.WriteString(unescape(text[i], quote))
		case c == '\r' && i+1 < len(text) && text[i+1] == '\n':
			// A file with Windows line ends holds the same values.
		default:
			b.WriteByte(c)
		}
	}
	return "", 0, fmt.Errorf("the quote is not closed")
}

func unescape(c, quote byte) string {
	if c == '\\' || c == '\'' {
		return string(c)
	}
	if quote == '"' {
		switch c {
		case '"':
			return `"`
		case 'n':
			return "\n"
		case 'r':
			return "\r"
		case 't':
			return "\t"
		}
	}
	return `\` + string(rune(c))
}

func restOfLine(text string) (length int, err error) {
	rest, _, found := strings.Cut(text, "\n")
	length = len(rest)
	if found {
		length++
	}
	if rest = strings.TrimSpace(rest); rest != "" && rest[0] != '#' {
		return 0, fmt.Errorf("text after the closing quote")
	}
	return length, nil
}

// expandValue replaces ${NAME} and ${NAME:-default}. A name that is not set
// and has no default is replaced by nothing.
func expandValue(value string, lookup func(string) (string, bool)) string {
	var b strings.Builder
	for {
		before, rest, ok := strings.Cut(value, "${")
		inner, after, closed := strings.Cut(rest, "}")
		if !ok || !closed {
			b.WriteString(value)
			return b.String()
		}
		b.WriteString(before)
		name, fallback, _ := strings.Cut(inner, ":-")
		if v, found := lookup(name); found {
			b.WriteString(v)
		} else {
			b.WriteString(fallback)
		}
		value = after
	}
}

// quoteDotenv writes a value so that this parser and python-dotenv read it
// back: in double quotes with real line breaks, as the Python command line
// does.
func quoteDotenv(name, value string) string {
	quote := `"`
	if strings.Contains(value, "$") {
		quote = `'` // not expanded
	}
	value = strings.NewReplacer(`\`, `\\`, quote, `\`+quote).Replace(value)
	return name + "=" + quote + value + quote + "\n"
}
