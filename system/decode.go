package system

import (
	"encoding"
	"fmt"
	"reflect"
	"strings"
	"time"

	"gopkg.in/yaml.v3"
)

// What a file may make the decoder do.
const (
	maxNodes = 100_000 // with aliases written out
	maxDepth = 64
)

// decoder puts YAML nodes into Go values, strictly: what it does not know is a
// problem, with its place. yaml.v3 itself tells no columns.
type decoder struct {
	file      string
	problems  Problems
	nodes     int
	full      bool
	addresses []usedAddress // that the configurations of actors have named
}

// usedAddress is an Address and where it is written.
type usedAddress struct {
	to   Address
	at   place
	from *Agent // whose actor uses it; nil: the file itself
}

// reader is a value that reads its node itself.
type reader interface {
	read(d *decoder, n *yaml.Node, depth int)
}

// Validator may be implemented by the configuration of an actor, or a part of
// it, to refuse values. The error is shown to whoever wrote the file.
type Validator interface{ Validate() error }

func at(n *yaml.Node) place { return place{n.Line, n.Column} }

func (d *decoder) problem(p place, hint, format string, args ...any) {
	d.problems = append(d.problems, Problem{d.file, max(p.line, 1), max(p.column, 1), fmt.Sprintf(format, args...), hint})
}

// follow returns what an alias stands for. It reports false when that would be
// too much.
func (d *decoder) follow(n *yaml.Node, depth int) (*yaml.Node, bool) {
	d.nodes++
	if d.nodes > maxNodes || depth > maxDepth {
		if !d.full {
			d.full = true
			d.problem(at(n), "", "there is too much here, perhaps by an alias that repeats itself")
		}
		return nil, false
	}
	if n.Kind == yaml.AliasNode {
		return d.follow(n.Alias, depth+1)
	}
	return n, true
}

// decode puts n into what v points to.
func (d *decoder) decode(n *yaml.Node, v reflect.Value, depth int) {
	n, ok := d.follow(n, depth)
	if !ok {
		return
	}
	if r, ok := v.Interface().(reader); ok {
		r.read(d, n, depth)
		return
	}
	if n.ShortTag() == "!!null" {
		return
	}
	before := len(d.problems)
	if u, ok := v.Interface().(encoding.TextUnmarshaler); ok {
		d.text(n, u)
	} else {
		d.value(n, v.Elem(), depth)
	}
	if c, ok := v.Interface().(Validator); ok && len(d.problems) == before {
		if err := c.Validate(); err != nil {
			d.problem(at(n), "", "%s", err)
		}
	}
}

func (d *decoder) text(n *yaml.Node, u encoding.TextUnmarshaler) {
	if n.Kind != yaml.ScalarNode {
		d.wanted(n, "a text")
		return
	}
	if err := u.UnmarshalText([]byte(n.Value)); err != nil {
		d.problem(at(n), "", "%s", err)
	}
}

func (d *decoder) value(n *yaml.Node, v reflect.Value, depth int) {
	if v.Type() == reflect.TypeFor[time.Duration]() {
		d.duration(n, v)
		return
	}
	switch v.Kind() {
	case reflect.Pointer:
		v.Set(reflect.New(v.Type().Elem()))
		d.decode(n, v, depth)
	case reflect.Struct:
		d.fields(n, v, depth)
	case reflect.Map:
		d.entries(n, v, depth)
	case reflect.Slice:
		if n.Kind != yaml.SequenceNode {
			d.wanted(n, "a list")
			return
		}
		v.Set(reflect.MakeSlice(v.Type(), len(n.Content), len(n.Content)))
		for i, item := range n.Content {
			d.decode(item, v.Index(i).Addr(), depth+1)
		}
	case reflect.String:
		d.scalar(n, v, "a text", "!!str")
	case reflect.Bool:
		d.scalar(n, v, "true or false", "!!bool")
	case reflect.Float32, reflect.Float64:
		d.scalar(n, v, "a number", "!!float", "!!int")
	default:
		d.scalar(n, v, "a whole number", "!!int")
	}
}

func (d *decoder) scalar(n *yaml.Node, v reflect.Value, what string, tags ...string) {
	for _, t := range tags {
		if n.Kind == yaml.ScalarNode && n.ShortTag() == t {
			if n.Decode(v.Addr().Interface()) != nil {
				d.problem(at(n), "", "%s is out of range", clip(n.Value))
			}
			return
		}
	}
	d.wanted(n, what)
}

func (d *decoder) duration(n *yaml.Node, v reflect.Value) {
	t, err := time.ParseDuration(n.Value)
	if n.Kind != yaml.ScalarNode || err != nil {
		d.wanted(n, "a time such as 500ms, 30s or 2m")
		return
	}
	v.SetInt(int64(t))
}

// wanted says that there is something else.
func (d *decoder) wanted(n *yaml.Node, what string) {
	have, hint := "a mapping", ""
	switch {
	case n.Kind == yaml.SequenceNode:
		have = "a list"
	case n.Kind == yaml.ScalarNode:
		have = clip(n.Value)
		if what == "a text" {
			hint = "put it in quotes"
		}
	}
	d.problem(at(n), hint, "%s is wanted here, not %s", what, have)
}

func clip(s string) string {
	if len(s) > 60 {
		s = s[:60] + "…"
	}
	return fmt.Sprintf("%q", s)
}

// pairs calls f for each key of a mapping, once.
func (d *decoder) pairs(n *yaml.Node, depth int, f func(key string, k, v *yaml.Node)) {
	if n.Kind != yaml.MappingNode {
		d.wanted(n, "a mapping")
		return
	}
	seen := map[string]place{}
	for i := 0; i+1 < len(n.Content); i += 2 {
		k, ok := d.follow(n.Content[i], depth+1)
		if !ok {
			return
		}
		if k.Kind != yaml.ScalarNode {
			d.problem(at(k), "", "a key is a text")
			continue
		}
		if first, twice := seen[k.Value]; twice {
			d.problem(at(k), "", "%s is there twice, the first time in line %d", clip(k.Value), first.line)
			continue
		}
		seen[k.Value] = at(k)
		f(k.Value, k, n.Content[i+1])
	}
}

// fields puts a mapping into a struct. A field has the key of its yaml tag, or
// its name in lower case.
func (d *decoder) fields(n *yaml.Node, v reflect.Value, depth int) {
	index, keys := map[string]int{}, []string{}
	for i := range v.NumField() {
		f := v.Type().Field(i)
		key, _, _ := strings.Cut(f.Tag.Get("yaml"), ",")
		if key == "" {
			key = strings.ToLower(f.Name)
		}
		if key != "-" && f.IsExported() {
			index[key], keys = i, append(keys, key)
		}
	}
	d.pairs(n, depth, func(key string, k, value *yaml.Node) {
		i, known := index[key]
		if !known {
			hint := didYouMean(key, keys)
			if hint == "" && len(keys) > 0 {
				hint = "known here: " + strings.Join(keys, ", ")
			}
			d.problem(at(k), hint, "unknown key %s", clip(key))
			return
		}
		d.decode(value, v.Field(i).Addr(), depth+1)
	})
}

// entries puts a mapping into a map with texts for keys.
func (d *decoder) entries(n *yaml.Node, v reflect.Value, depth int) {
	if v.Type().Key().Kind() != reflect.String {
		d.problem(at(n), "", "the program wants a %v here, which no file can have", v.Type())
		return
	}
	v.Set(reflect.MakeMap(v.Type()))
	d.pairs(n, depth, func(key string, _, value *yaml.Node) {
		item := reflect.New(v.Type().Elem())
		d.decode(value, item, depth+1)
		v.SetMapIndex(reflect.ValueOf(key).Convert(v.Type().Key()), item.Elem())
	})
}
