package actor

import (
	"encoding/json"
	"strings"
	"testing"
	"time"
)

func TestDecodeProblem(t *testing.T) {
	type inner struct {
		Small  int8              `json:"small"`
		Bytes  uint16            `json:"a/b~c"`
		Float  float32           `json:"float"`
		Text   string            `json:"text"`
		Flag   *bool             `json:"flag"`
		List   []inner           `json:"list"`
		Named  map[string]*inner `json:"named"`
		Keys   map[int8]int      `json:"keys"`
		Quoted int               `json:"quoted,string"`
		At     time.Time         `json:"at"`
	}
	for data, want := range map[string][2]string{
		`{"small":300}`:              {"/small", "must be an integer from -128 to 127, without point and exponent, not 300"},
		`{"text":"x","small": 2.0 }`: {"/small", "must be an integer from -128 to 127, without point and exponent, not 2.0"},
		`{"a/b~c":-1}`:               {"/a~1b~0c", "must be an integer from 0 to 65535, without point and exponent, not -1"},
		`{"float":1e99}`:             {"/float", "must be a number within the range of 32-bit floating point, not 1e99"},
		`{"text":5}`:                 {"/text", "must be a string, not number"},
		`{"flag":"yes"}`:             {"/flag", "must be a boolean, not string"},
		`{"list":{}}`:                {"/list", "must be an array, not object"},
		`{"list":[{"small":1},{"small":[],"x":1}]}`:  {"/list/1/small", "must be an integer from -128 to 127, without point and exponent, not array"},
		`{"list":[{"list":[]},{"named":{"é":[0]}}]}`: {"/list/1/named/é", "must be an object, not array"},
		`{"keys":{"5":1,"300":2}}`:                   {"/keys/300", "must be an integer from -128 to 127, without point and exponent, not 300"},
		`{"quoted":"x"}`:                             {"", "does not fit"},
		`"x"`:                                        {"", "must be an object, not string"},
		`[1]`:                                        {"", "must be an object, not array"},
		`{"text":`:                                   {"", "unexpected end of JSON input"},
	} {
		err := decodes[inner]([]byte(data))
		if err == nil {
			t.Errorf("%s decodes", data)
			continue
		}
		field, problem := decodeProblem([]byte(data), err)
		if got := [2]string{field, problem}; got != want {
			t.Errorf("%s: got %q, want %q (%v)", data, got, want, err)
		}
	}
	long := undecodable([]byte("["+strings.Repeat("9", 5000)+"]"), decodes[[]int]([]byte("["+strings.Repeat("9", 5000)+"]")))
	if len(long.Message) > 2*maxQuoted || !json.Valid(long.Details) {
		t.Errorf("got %s %s", long, long.Details)
	}
}

func FuzzPointerAt(f *testing.F) {
	f.Add([]byte(`{"a":[{"b":1},[]],"c":{}}`), int64(12))
	f.Add([]byte(`]`), int64(1))
	f.Fuzz(func(t *testing.T, data []byte, offset int64) {
		if p := pointerAt(data, offset); p != "" && p[0] != '/' {
			t.Errorf("got %q", p)
		}
	})
}
