package main

import (
	"bytes"
	"encoding/json"
	"os"
	"path/filepath"
	"reflect"
	"strings"
	"testing"

	"github.com/pando-agents/pando/identity"
)

func TestAgentsFindEachOther(t *testing.T) {
	t.Parallel()
	w := newWorld(t)
	about := []string{"--endpoint", "wss://bob.example/ws", "--description", "Translates.", "--capability", "translate", "--capability", "proofread"}
	bob := w.setup(t, "bruno.env", append(about, "--key-type", "ed25519", "--name", "bruno")...)
	info := []string{"agents", "info", bob, "--env-file", w.aliceEnv}
	fails(t, 1, "agent not found, or no mutual permission", w.dir, info...)
	if out := must(t, w.dir, "agents", "list", "--env-file", w.aliceEnv, "--json"); out != "[]\n" {
		t.Errorf("it says %q", out)
	}
	must(t, w.dir, "permissions", "grant", w.alice, "--type", "allow_agent", "--target-id", bob, "--env-file", w.aliceEnv)
	must(t, w.dir, "permissions", "grant", bob, "--type", "allow_agent", "--target-id", w.alice, "--env-file", "bruno.env")

	text := "agent: " + bob + "\nname: bruno\nendpoint: wss://bob.example/ws\ndescription: Translates.\ncapabilities: translate proofread\n"
	for _, args := range [][]string{info, {"agents", "info", "--env-file", "bruno.env"}} {
		if out := must(t, w.dir, args...); out != text {
			t.Errorf("%v: it says %q", args, out)
		}
	}
	want := identity.Record{AgentID: bob, Name: "bruno", Endpoint: "wss://bob.example/ws", Description: "Translates.", Capabilities: []string{"translate", "proofread"}}
	var one identity.Record
	if err := json.Unmarshal([]byte(must(t, w.dir, append(info, "--json")...)), &one); err != nil || !reflect.DeepEqual(one, want) {
		t.Errorf("%+v: %v", one, err)
	}
	var all []identity.Record
	if err := json.Unmarshal([]byte(must(t, w.dir, "agents", "list", "--env-file", w.aliceEnv, "--json")), &all); err != nil || !reflect.DeepEqual(all, []identity.Record{want}) {
		t.Errorf("%+v: %v", all, err)
	}
	table := strings.Split(must(t, w.dir, "agents", "list", "--env-file", w.aliceEnv), "\n")
	if len(table) != 3 || strings.Join(strings.Fields(table[0]), " ") != "AGENT NAME ENDPOINT CAPABILITIES" ||
		strings.Join(strings.Fields(table[1]), " ") != bob+" bruno wss://bob.example/ws translate proofread" {
		t.Errorf("it says %q", table)
	}
}

func TestAnnouncementChangesWhatIsGiven(t *testing.T) {
	t.Parallel()
	w := newWorld(t)
	announce := func(args ...string) string {
		t.Helper()
		return must(t, w.dir, append([]string{"agents", "announce", "--env-file", w.aliceEnv}, args...)...)
	}
	announce("--endpoint", "ws://10.0.0.1:9000/ws", "--capability", "a", "--capability", "b")
	var r identity.Record
	if err := json.Unmarshal([]byte(announce("--description", "d", "--json")), &r); err != nil ||
		r.AgentID != w.alice || r.Endpoint != "ws://10.0.0.1:9000/ws" || r.Description != "d" || len(r.Capabilities) != 2 {
		t.Errorf("%+v: %v", r, err)
	}
	if out := announce("--endpoint", "", "--capability", ""); !strings.HasSuffix(out, "endpoint: -\ndescription: d\ncapabilities: -\n") {
		t.Errorf("it says %q", out)
	}
	refused := []string{"agents", "announce", "--env-file", w.aliceEnv}
	fails(t, 1, "printable", w.dir, append(refused, "--description", "two\nlines")...)
	fails(t, 1, "twice", w.dir, append(refused, "--capability", "a", "--capability", "a")...)
	fails(t, 1, "not a UUIDv4", w.dir, "agents", "info", "bob", "--env-file", w.aliceEnv)
	if out := must(t, w.dir, "agents", "info", "--env-file", w.aliceEnv); !strings.Contains(out, "description: d\n") {
		t.Errorf("it says %q", out)
	}
}

func TestAgentsNeedTheCredentialsOfAnAgent(t *testing.T) {
	t.Parallel()
	dir := t.TempDir()
	if err := os.WriteFile(filepath.Join(dir, "x.env"), []byte("AUTHED_REGISTRY_URL=http://localhost:1\n"), 0o600); err != nil {
		t.Fatal(err)
	}
	for _, args := range [][]string{{"list"}, {"info"}, {"announce", "--endpoint", "wss://a.example"}} {
		fails(t, 1, "no agent id, secret and key", dir, append(append([]string{"agents"}, args...), "--env-file", "x.env")...)
	}
}

func TestStrangersCannotWriteToTheTerminal(t *testing.T) {
	t.Parallel()
	var out bytes.Buffer
	a := &app{out: &out}
	evil := "a\x1b[2J\r\n\u202eb\x00"
	r := identity.Record{AgentID: evil, Name: evil, Endpoint: evil, Description: evil, Capabilities: []string{evil, evil}}
	if err := a.sayTable([]identity.Record{r}); err != nil {
		t.Fatal(err)
	}
	if err := a.sayRecord(r, false); err != nil {
		t.Fatal(err)
	}
	if strings.ContainsAny(out.String(), "\x1b\r\x00\u202e") || strings.Count(out.String(), "\n") != 7 {
		t.Errorf("printed %q", out.String())
	}
}
