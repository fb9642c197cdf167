package protocol

import "testing"

func TestMemberIsFoundAsItStands(t *testing.T) {
	t.Parallel()
	for _, c := range []struct{ data, name, want string }{
		{`{"text":"hi","n":1}`, "text", `"hi"`},
		{` { "a" : [1, 2] , "text" : {"x": null} } `, "text", `{"x": null}`},
		{`{"t\u0065xt":7}`, "text", `7`},
		{`{"n":1}`, "text", ``},
		{`[1]`, "text", ``},
		{``, "text", ``},
		{`{"text":`, "text", ``},
	} {
		if got := string(Member([]byte(c.data), c.name)); got != c.want {
			t.Errorf("Member(%s) = %q; want %q", c.data, got, c.want)
		}
	}
}
