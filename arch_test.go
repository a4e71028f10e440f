package perdure_test

import (
	"bytes"
	"go/ast"
	"go/parser"
	"go/token"
	"io/fs"
	"os"
	"path"
	"path/filepath"
	"regexp"
	"slices"
	"strconv"
	"strings"
	"testing"
)

const module = "github.com/perdure/perdure"

// maxLines is where a file must be split, whatever it holds.
const maxLines = 600

// bareGo lists the go statements that no WaitGroup.Go or errgroup can own,
// as "path: function", with the reason. docs/ARCHITECTURE.md has them too.
var bareGo = map[string]string{
	"actor/coroutine.go: newCoroutine": "the code of a resident run: it runs only while the engine waits for it, and kill waits for its end",
	"actor/body.go: run":               "a step body with a timeout: one that ignores its context is left behind, so that the attempt ends in time",
	"actor/host.go: Close":             "waits for step bodies, which are user code: one that ignores its context does not keep the node",
	"actor/own.go: awaitBodies":        "waits for the step bodies of partitions that are given away: one that ignores its context does not keep them",
	"hosting.go: cut":                  "ends a connection, which waits for a server that takes nothing: whoever looks after trust does not",
	"main.go: Main":                    "turns signals into a hand-over; lives as long as the process",
}

// layers is the import order: what each top-level folder may import of this
// module, outside its tests. "" is the root package.
var layers = map[string][]string{
	"actor":     {},
	"router":    {"actor"},
	"schema":    {"actor"},
	"gateway":   {"actor"},
	"jetstream": {"actor", "router"},
	"":          {"actor", "router", "schema", "gateway", "jetstream"},
	"examples":  {"", "actor"},
	"cmd":       {"", "actor", "examples", "jetstream"}, // jetstream: cmd/client must not link the embedded server
}

// TestImports pins the import order: actor ← router ← jetstream ← root ← cmd, examples.
func TestImports(t *testing.T) {
	for _, f := range goFiles(t) {
		if f.test || f.top == "test" || f.top == "internal" {
			continue
		}
		for _, imp := range f.imports() {
			if why := forbidden(f, imp); why != "" {
				t.Errorf("%s imports %s: %s", f.path, imp, why)
			}
		}
	}
}

// forbidden says why f may not import imp, or nothing when it may.
func forbidden(f goFile, imp string) string {
	if own, ours := strings.CutPrefix(imp+"/", module+"/"); ours {
		own = strings.TrimSuffix(own, "/")
		top, _, _ := strings.Cut(own, "/")
		switch {
		case own == "jetstream/embed" && f.top != "":
			return "only the root wires the embedded server"
		case own == "internal/version":
		case top != f.top && !slices.Contains(layers[f.top], top):
			return "against the import order"
		}
		return ""
	}
	nats := strings.HasPrefix(imp, "github.com/nats-io/")
	switch {
	case strings.HasPrefix(imp, "github.com/nats-io/nats-server/") && f.pkg != "jetstream/embed":
		return "only jetstream/embed links the server, so that clients do not"
	case nats && slices.Contains([]string{"actor", "router", "schema", "gateway"}, f.top):
		return "only jetstream speaks NATS"
	case (f.top == "actor" || f.top == "router") && strings.Contains(imp, ".") && imp != "github.com/google/uuid":
		return "this package stays on the standard library"
	}
	return ""
}

// TestPackages holds every package to a comment that says what it is, and to a
// name that says it too.
func TestPackages(t *testing.T) {
	vague := regexp.MustCompile(`^(util|utils|common|types|helpers?|models?|managers?|services?|misc|runtime)$`)
	documented := map[string]bool{}
	for _, f := range goFiles(t) {
		documented[f.pkg] = documented[f.pkg] || f.ast.Doc != nil
		if name := strings.TrimSuffix(path.Base(f.path), ".go"); vague.MatchString(name) || vague.MatchString(f.ast.Name.Name) {
			t.Errorf("%s: the name does not say what is inside", f.path)
		}
	}
	for pkg, ok := range documented {
		if !ok && pkg != "." {
			t.Errorf("package %s has no package comment", pkg)
		}
	}
}

// TestFileSize keeps files readable in one go.
func TestFileSize(t *testing.T) {
	for _, f := range goFiles(t) {
		if n := f.line(f.ast.FileEnd); n > maxLines {
			t.Errorf("%s has %d lines: split it by concept, above %d nobody finds their way", f.path, n, maxLines)
		}
	}
}

// TestGoroutines keeps every goroutine owned: whoever starts one waits for it.
// Tests may start one bare, as they wait for what it sends.
func TestGoroutines(t *testing.T) {
	used := map[string]bool{}
	for _, f := range goFiles(t) {
		if f.test || f.top == "test" {
			continue
		}
		f.inspect(func(fn string, n ast.Node) {
			if _, ok := n.(*ast.GoStmt); !ok {
				return
			}
			site := f.path + ": " + fn
			used[site] = true
			if bareGo[site] == "" {
				t.Errorf("%s:%d has a bare go statement: start it with WaitGroup.Go or an errgroup, or list %q in bareGo with a reason", f.path, f.line(n.Pos()), site)
			}
		})
	}
	for site := range bareGo {
		if !used[site] {
			t.Errorf("bareGo lists %q, which is gone", site)
		}
	}
}

// TestWaiting refuses sleeping and silent skipping. In a file that calls
// bubble.Run, time.Sleep passes virtual time.
func TestWaiting(t *testing.T) {
	bubbles := map[string]bool{} // folders and files whose tests run in virtual time
	for _, f := range goFiles(t) {
		f.inspect(func(_ string, n ast.Node) {
			sel, ok := n.(*ast.SelectorExpr)
			if !ok || !f.test {
				return
			}
			if sel.Sel.Name == "InBubble" {
				bubbles[filepath.Dir(f.path)] = true
			}
			if x, ok := sel.X.(*ast.Ident); ok && x.Name == "bubble" && sel.Sel.Name == "Run" {
				bubbles[f.path] = true
			}
		})
	}
	for _, f := range goFiles(t) {
		bubble := f.test && (bubbles[filepath.Dir(f.path)] || bubbles[f.path])
		f.inspect(func(_ string, n ast.Node) {
			call, ok := n.(*ast.CallExpr)
			if !ok {
				return
			}
			fun, ok := call.Fun.(*ast.SelectorExpr)
			if !ok {
				return
			}
			recv, _ := fun.X.(*ast.Ident)
			switch {
			case recv != nil && recv.Name == "time" && fun.Sel.Name == "Sleep" && !bubble:
				t.Errorf("%s:%d sleeps: wait on what happens, or use virtual time", f.path, f.line(n.Pos()))
			case f.test && fun.Sel.Name == "SkipNow", f.test && fun.Sel.Name == "Skip" && len(call.Args) == 0:
				t.Errorf("%s:%d skips without a reason", f.path, f.line(n.Pos()))
			}
		})
	}
}

// TestMachinePaths keeps the folders of one person's machine out of the tree.
func TestMachinePaths(t *testing.T) {
	machine := regexp.MustCompile(`(^|[^\w.:])/(work|root)/|\.\./shared\b`)
	for _, name := range files(t) {
		text, err := os.ReadFile(name)
		if err != nil {
			t.Fatal(err)
		}
		if bytes.IndexByte(text, 0) >= 0 {
			continue // not text
		}
		for i, line := range bytes.Split(text, []byte("\n")) {
			if machine.Match(line) {
				t.Errorf("%s:%d names a path of one machine: %s", name, i+1, bytes.TrimSpace(line))
			}
		}
	}
}

// goFile is one parsed Go file of the module.
type goFile struct {
	path string // from the module's root, with slashes
	pkg  string // its folder, "." for the root
	top  string // the first part of its folder, "" for the root
	test bool   // named _test.go
	ast  *ast.File
	fset *token.FileSet
}

func (f goFile) imports() []string {
	paths := make([]string, 0, len(f.ast.Imports))
	for _, spec := range f.ast.Imports {
		if p, err := strconv.Unquote(spec.Path.Value); err == nil {
			paths = append(paths, p)
		}
	}
	return paths
}

// line is the line number of pos: of the file's end, its length.
func (f goFile) line(pos token.Pos) int { return f.fset.Position(pos).Line }

// inspect visits every node inside a top-level declaration, with the name of
// the function it stands in, or "".
func (f goFile) inspect(visit func(fn string, n ast.Node)) {
	for _, decl := range f.ast.Decls {
		name := ""
		if fn, ok := decl.(*ast.FuncDecl); ok {
			name = fn.Name.Name
		}
		ast.Inspect(decl, func(n ast.Node) bool {
			visit(name, n)
			return true
		})
	}
}

// goFiles parses every Go file of the module.
func goFiles(t *testing.T) []goFile {
	t.Helper()
	fset := token.NewFileSet()
	var parsed []goFile
	for _, name := range files(t) {
		if path.Ext(name) != ".go" {
			continue
		}
		tree, err := parser.ParseFile(fset, name, nil, parser.ParseComments|parser.SkipObjectResolution)
		if err != nil {
			t.Fatal(err)
		}
		f := goFile{path: name, pkg: path.Dir(name), test: strings.HasSuffix(name, "_test.go"), ast: tree, fset: fset}
		if f.pkg != "." {
			f.top, _, _ = strings.Cut(f.pkg, "/")
		}
		parsed = append(parsed, f)
	}
	return parsed
}

// files lists what belongs to the project, leaving out what .gitignore leaves out.
func files(t *testing.T) []string {
	t.Helper()
	var names []string
	err := filepath.WalkDir(".", func(name string, entry fs.DirEntry, err error) error {
		switch {
		case err != nil:
			return err
		case entry.IsDir() && slices.Contains([]string{".git", ".tools", "node_modules", "perdure-data", "coverage"}, entry.Name()):
			return filepath.SkipDir
		case entry.Type().IsRegular():
			names = append(names, filepath.ToSlash(name))
		}
		return nil
	})
	if err != nil {
		t.Fatal(err)
	}
	return names
}
