package perdure_test

import (
	"bytes"
	"encoding/json"
	"os"
	"reflect"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"

	"github.com/perdure/perdure/router"
)

// TestDocs_buckets: docs/format.md shows a lease and a partition's record as they are written, and names every field.
func TestDocs_buckets(t *testing.T) {
	page, err := os.ReadFile("docs/format.md")
	if err != nil {
		t.Fatal(err)
	}
	for bucket, value := range map[string]any{"LEASES": &router.Lease{}, "PARTITIONS": &router.Record{}} {
		t.Run(bucket, func(t *testing.T) {
			_, section, _ := strings.Cut(string(page), "**"+bucket+"**")
			section, _, _ = strings.Cut(section, "\n**")
			_, rest, _ := strings.Cut(section, "```json\n")
			example, table, _ := strings.Cut(rest, "```")
			var want bytes.Buffer
			if err := json.Compact(&want, []byte(example)); err != nil {
				t.Fatal(err)
			}
			if err := json.Unmarshal(want.Bytes(), value); err != nil {
				t.Fatal(err)
			}
			got, err := json.Marshal(value)
			if err != nil {
				t.Fatal(err)
			}
			if diff := cmp.Diff(string(got), want.String()); diff != "" {
				t.Errorf("the example is not what is written:\n%s", diff)
			}
			for _, f := range reflect.VisibleFields(reflect.TypeOf(value).Elem()) {
				name, _, _ := strings.Cut(f.Tag.Get("json"), ",")
				if name != "" && name != "-" && !strings.Contains(table, "| `"+name+"`") && !strings.Contains(table, ", `"+name+"` |") {
					t.Errorf("no row says what %q is", name)
				}
			}
		})
	}
}
