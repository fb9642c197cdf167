package system

import (
	"bytes"
	"errors"
	"fmt"
	"io"
	"os"
	"reflect"
	"regexp"
	"strconv"
	"strings"

	"gopkg.in/yaml.v3"
)

// MaxFile is the size of a system file, in bytes, from which on it is refused.
const MaxFile = 1 << 20

// File is a system as its file describes it. It is only read once loaded, and so
// safe for concurrent use.
type File struct {
	// Path is where it was read from.
	Path string
	// Name is the name of the system.
	Name string
	// Registry is the identity registry of the system.
	Registry Registry
	// Ask is the actor that takes questions from outside; zero if none does.
	Ask Address
	// Agents are the agents, in the order of the file.
	Agents []*Agent
}

// Registry says which identity registry a system uses.
type Registry struct {
	// URL is that of a registry which others run; empty if the system has one of
	// its own. CA is a file of authorities to trust for it.
	URL, CA string
	// Listen is where a registry of the system's own listens when the agents run
	// apart; default 127.0.0.1:8443.
	Listen string
	// Issuer is the issuer of its tokens; default "pando".
	Issuer string
}

// Agent is one agent of a system.
type Agent struct {
	Name, About string
	// Endpoint is the WebSocket URL that peers dial, Listen the address that the
	// agent listens at. Both are for agents in processes of their own.
	Endpoint, Listen string
	// Cert and Key are the files of its certificate; empty without TLS.
	Cert, Key string
	// TalksTo are the agents that it has a permission with, in either direction.
	TalksTo []string
	Actors  []*Actor
	// External agents are other programs. Command, if there is one, starts them.
	External bool
	Command  []string
	// SDK is "python" for the unmodified Python SDK, else empty.
	SDK string
}

// Actor is one actor of an agent.
type Actor struct {
	Name string
	// New is the name of its constructor.
	New string
	// Expose are the agents that may reach it; ExposeAll means all that the agent
	// talks to. ByType also gives it messages that name no actor.
	Expose    []string
	ExposeAll bool
	ByType    bool

	config any
	entry  *entry
}

// Agent returns the agent of that name, nil if there is none.
func (f *File) Agent(name string) *Agent {
	for _, a := range f.Agents {
		if a.Name == name {
			return a
		}
	}
	return nil
}

func (a *Agent) actor(name string) *Actor {
	for _, c := range a.Actors {
		if c.Name == name {
			return c
		}
	}
	return nil
}

// Load reads a system file and checks everything that can be known before it
// runs, the configurations of actors included. The error is Problems, or one of
// the file system's. It blocks on reading the file only.
func Load(path string, c *Catalogue) (*File, error) {
	f, err := os.Open(path)
	if err != nil {
		return nil, fmt.Errorf("load system: %w", err)
	}
	defer func() { _ = f.Close() }()
	data, err := io.ReadAll(io.LimitReader(f, MaxFile+1))
	if err != nil {
		return nil, fmt.Errorf("load system: %w", err)
	}
	return Parse(path, data, c)
}

// Parse is Load of a file that was read already; path is for the problems.
func Parse(path string, data []byte, c *Catalogue) (*File, error) {
	d := &decoder{file: path}
	written := d.document(data)
	if len(d.problems) > 0 {
		d.problems.sort()
		return nil, d.problems
	}
	f := (&checker{decoder: d, written: written, catalogue: c}).check()
	if len(d.problems) > 0 {
		d.problems.sort()
		return nil, d.problems
	}
	f.Path = path
	return f, nil
}

var yamlLine = regexp.MustCompile(`^yaml: line (\d+): (.*)`)

// document reads the one document of the file.
func (d *decoder) document(data []byte) *rawFile {
	written := new(rawFile)
	if len(data) > MaxFile {
		d.problem(place{}, "", "the file has more than %d bytes", MaxFile)
		return written
	}
	in := yaml.NewDecoder(bytes.NewReader(data))
	var doc, more yaml.Node
	err := in.Decode(&doc)
	if errors.Is(err, io.EOF) {
		d.problem(place{}, "", "the file is empty")
		return written
	}
	if err != nil {
		d.syntax(err)
		return written
	}
	d.decode(doc.Content[0], reflect.ValueOf(written), 0)
	switch err := in.Decode(&more); {
	case errors.Is(err, io.EOF):
	case err != nil:
		d.syntax(err)
	default:
		d.problem(at(&more), "", "there is a second document in the file")
	}
	return written
}

// syntax tells what the parser says; of the column it says nothing.
func (d *decoder) syntax(err error) {
	text := err.Error()
	if m := yamlLine.FindStringSubmatch(text); m != nil {
		line, _ := strconv.Atoi(m[1])
		d.problem(place{line: line}, "", "%s", m[2])
		return
	}
	d.problem(place{}, "", "%s", strings.TrimPrefix(text, "yaml: "))
}
