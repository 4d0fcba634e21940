package lint

import (
	"bytes"
	"encoding/json"
	"errors"
	"go/ast"
	"go/format"
	"go/parser"
	"go/token"
	"io"
	"io/fs"
	"os"
	"os/exec"
	"path/filepath"
	"regexp"
	"slices"
	"strings"
	"testing"
)

const module = "github.com/ringmq/ringmq"

// goPackage is what `go list` says of a package of ours.
type goPackage struct {
	ImportPath                         string
	Dir, Name, Doc                     string
	Imports, TestImports, XTestImports []string
	GoFiles                            []string
}

func listPackages(t *testing.T) []goPackage {
	t.Helper()
	cmd := exec.Command("go", "list", "-json=ImportPath,Dir,Name,Doc,Imports,TestImports,XTestImports,GoFiles", module+"/...")
	var stderr bytes.Buffer
	cmd.Stderr = &stderr
	out, err := cmd.Output()
	if err != nil {
		t.Fatalf("go list: %v\n%s", err, stderr.String())
	}
	var list []goPackage
	for dec := json.NewDecoder(bytes.NewReader(out)); ; {
		var p goPackage
		if err := dec.Decode(&p); errors.Is(err, io.EOF) {
			return list
		} else if err != nil {
			t.Fatal(err)
		}
		list = append(list, p)
	}
}

// relative is the import path below the module, "" for other modules' packages.
func relative(path string) string { return strings.TrimPrefix(strings.TrimPrefix(path, module), "/") }

func ours(path string) bool { return path == module || strings.HasPrefix(path, module+"/") }

func layer(path string) string {
	top, _, _ := strings.Cut(relative(path), "/")
	return top
}

// allowed lists the layers that a layer may import, besides itself. Tests may use more: see allowedInTests.
var allowed = map[string][]string{
	"wal":      {},
	"netpoll":  {},
	"s3stream": {"wal"},
	"kraft":    {"netpoll"},
	"engine":   {"s3stream", "kraft", "netpoll", "wal"},
	"bench":    {},
	"perf":     {},
	"tools":    {"engine", "s3stream", "kraft", "netpoll", "wal", "bench"},
}

// allowedInTests is what the tests of a layer may import on top: the harnesses.
var allowedInTests = map[string][]string{
	"s3stream": {"tools/javakit"},
	"kraft":    {"tools/javakit"},
	"engine":   {"tools/javakit", "bench"},
	"bench":    {"tools/javakit"},
}

// leaves are packages of ours that import nothing of ours and may be imported from anywhere.
var leaves = []string{"wal/invariants", "engine/kproto", "netpoll/tlstest", "tools/freeport", "tools/waittest"}

// TestArrows: imports point down only (the picture is in the README of the repository's layout, design section 2).
func TestArrows(t *testing.T) {
	for _, p := range listPackages(t) {
		from := layer(p.ImportPath)
		if _, known := allowed[from]; !known {
			t.Errorf("%s: a folder that nobody knows; add it to tools/lint with the layers that it may import", p.ImportPath)
			continue
		}
		for _, imp := range p.Imports {
			if slices.Contains(leaves, relative(p.ImportPath)) && ours(imp) {
				t.Errorf("%s is a leaf and must import nothing of ours, but imports %s", p.ImportPath, imp)
			}
			if !mayImport(from, imp, allowed[from]) {
				t.Errorf("%s must not import %s: from %s only %v", p.ImportPath, imp, from, append([]string{from}, allowed[from]...))
			}
			if strings.HasSuffix(relative(imp), "test") && !strings.HasSuffix(relative(p.ImportPath), "test") && ours(imp) && !testDouble(p.ImportPath) {
				t.Errorf("%s imports the test package %s outside of a test", p.ImportPath, imp)
			}
		}
		for _, imp := range append(slices.Clone(p.TestImports), p.XTestImports...) {
			if !mayImport(from, imp, append(slices.Clone(allowed[from]), allowedInTests[from]...)) {
				t.Errorf("tests of %s must not import %s", p.ImportPath, imp)
			}
		}
	}
}

// testDouble reports whether a package exists for tests only.
func testDouble(path string) bool {
	return slices.Contains([]string{"bench", "tools"}, layer(path)) || strings.Contains(filepath.Base(path), "sim")
}

func mayImport(from, imp string, targets []string) bool {
	rel := relative(imp)
	if !ours(imp) || layer(imp) == from || slices.Contains(leaves, rel) {
		return true
	}
	return slices.ContainsFunc(targets, func(a string) bool { return rel == a || strings.HasPrefix(rel, a+"/") })
}

// forbidden are imports of other modules that a layer must do without.
var forbidden = []struct {
	layers []string
	prefix string
	why    string
}{
	{[]string{"wal", "s3stream", "netpoll"}, "github.com/twmb/franz-go", "knows nothing of Kafka"},
	{[]string{"s3stream", "netpoll", "kraft", "engine"}, "github.com/pawelgaczynski/giouring", "io_uring belongs to wal/internal/uring"},
	{[]string{"wal", "s3stream", "kraft", "engine"}, "github.com/panjf2000/gnet", "sockets belong to netpoll"},
	{[]string{"wal", "netpoll", "kraft", "engine"}, "github.com/minio/minio-go", "object stores belong to s3stream/objstore"},
	{[]string{"wal", "s3stream", "netpoll", "engine"}, "go.etcd.io/", "raft belongs to kraft"},
	{[]string{"wal", "s3stream", "netpoll", "kraft", "engine"}, "github.com/spf13/cobra", "command lines belong to tools"},
}

// TestForeignImports: each outside library stays behind the layer that wraps it. Tests may use clients of Kafka and object stores.
func TestForeignImports(t *testing.T) {
	for _, p := range listPackages(t) {
		for _, imp := range p.Imports {
			for _, f := range forbidden {
				if slices.Contains(f.layers, layer(p.ImportPath)) && strings.HasPrefix(imp, f.prefix) && !strings.HasSuffix(p.ImportPath, "test") {
					t.Errorf("%s must not import %s: %s", p.ImportPath, imp, f.why)
				}
			}
		}
	}
}

// TestPackageComments: doc.go opens every package, and says more than its name.
func TestPackageComments(t *testing.T) {
	for _, p := range listPackages(t) {
		if p.Name == "main" {
			if p.Doc == "" {
				t.Errorf("%s: the command has no comment", p.ImportPath)
			}
			continue
		}
		if len(p.GoFiles) == 0 {
			continue
		}
		f, err := parser.ParseFile(token.NewFileSet(), filepath.Join(p.Dir, "doc.go"), nil, parser.ParseComments|parser.PackageClauseOnly)
		if err != nil {
			t.Errorf("%s: no doc.go: %v", p.ImportPath, err)
		} else if text := f.Doc.Text(); len(text) < 100 || !strings.HasPrefix(text, "Package "+p.Name+" ") {
			t.Errorf("%s: doc.go does not say what the package is", p.ImportPath)
		}
	}
}

// marks must not stay in a finished tree. The words are written apart so that this file passes.
var marks = regexp.MustCompile(`\b(` + "TO" + `DO|FIX` + `ME|XX` + `X|HA` + `CK)\b`)

// machinePaths are traces of somebody's machine.
var machinePaths = regexp.MustCompile(`(/home/[a-z]+/|/Users/[a-z]+/|/wo` + `rk/|/tmp/br` + `ief)`)

// TestFiles: every Go file is formatted; no file has a mark of unfinished work or a path of somebody's machine.
func TestFiles(t *testing.T) {
	for path, b := range files(t) {
		if filepath.Ext(path) == ".go" {
			if good, err := format.Source(b); err != nil {
				t.Errorf("%s: %v", path, err)
			} else if !bytes.Equal(good, b) {
				t.Errorf("%s: not formatted (gofmt -w %s)", path, path)
			}
		}
		for i, line := range bytes.Split(b, []byte("\n")) {
			if m := marks.Find(line); m != nil {
				t.Errorf("%s:%d: %s: finish it, or open an issue", path, i+1, m)
			}
			if m := machinePaths.Find(line); m != nil {
				t.Errorf("%s:%d: %s is a path of one machine", path, i+1, m)
			}
			if bytes.HasPrefix(line, []byte("<<<<<<< ")) || bytes.HasPrefix(line, []byte(">>>>>>> ")) {
				t.Errorf("%s:%d: a conflict marker", path, i+1)
			}
		}
	}
}

// skipReason is how the reason of a skip begins. What follows says what is not tested, and what is missing or why.
var skipReason = regexp.MustCompile("^[\"`]SKIPPED(:| by -short:| in part:) .{15}")

// TestSkips: a test that skips says what is not tested, in words that a search of the output finds.
func TestSkips(t *testing.T) {
	for path, b := range files(t) {
		if filepath.Ext(path) != ".go" {
			continue
		}
		fset := token.NewFileSet()
		f, err := parser.ParseFile(fset, path, b, parser.SkipObjectResolution)
		if err != nil {
			t.Errorf("%s: %v", path, err)
			continue
		}
		if !slices.ContainsFunc(f.Imports, func(i *ast.ImportSpec) bool { return i.Path.Value == `"testing"` }) {
			continue
		}
		ast.Inspect(f, func(n ast.Node) bool {
			call, ok := n.(*ast.CallExpr)
			if !ok {
				return true
			}
			name, ok := call.Fun.(*ast.SelectorExpr)
			if !ok || !slices.Contains([]string{"Skip", "Skipf", "SkipNow"}, name.Sel.Name) {
				return true
			}
			if len(call.Args) > 0 {
				if text, ok := call.Args[0].(*ast.BasicLit); ok && skipReason.MatchString(text.Value) {
					return true
				}
			}
			t.Errorf("%s: write %s(\"SKIPPED: <what is not tested, and what is missing>\") or (\"SKIPPED by -short: <what is not tested, and why>\")",
				fset.Position(call.Pos()), name.Sel.Name)
			return true
		})
	}
}

// text are the files that are read.
var text = []string{".go", ".md", ".sh", ".xml", ".properties", ".service", ".conf", ".json", ".yaml", ".yml", ".mod", ""}

func files(t *testing.T) map[string][]byte {
	t.Helper()
	root, err := filepath.Abs("../..")
	if err != nil {
		t.Fatal(err)
	}
	out := map[string][]byte{}
	err = filepath.WalkDir(root, func(path string, d fs.DirEntry, err error) error {
		if err != nil {
			return err
		}
		rel, _ := filepath.Rel(root, path)
		switch {
		case d.IsDir() && (slices.Contains([]string{".git", "bin", ".run"}, rel) || d.Name() == "testdata"):
			return filepath.SkipDir
		case d.IsDir(), !d.Type().IsRegular(), rel == "LICENSE", !slices.Contains(text, filepath.Ext(path)):
			return nil
		}
		b, err := os.ReadFile(path)
		if errors.Is(err, fs.ErrNotExist) {
			return nil // removed since it was listed
		}
		if err != nil {
			return err
		}
		if bytes.IndexByte(b, 0) < 0 {
			out[rel] = b
		}
		return nil
	})
	if err != nil {
		t.Fatal(err)
	}
	return out
}

// TestSettingsAreRead: every field of the configuration's structs is read outside of package config. A key that is documented as used, and whose value
// nobody looks at, would be a promise that is not kept.
func TestSettingsAreRead(t *testing.T) {
	fields := map[string]string{} // name to where it is
	read := map[string]bool{}
	for path, b := range files(t) {
		if filepath.Ext(path) != ".go" || strings.HasSuffix(path, "_test.go") {
			continue
		}
		fset := token.NewFileSet()
		f, err := parser.ParseFile(fset, path, b, parser.SkipObjectResolution)
		if err != nil {
			t.Errorf("%s: %v", path, err)
			continue
		}
		settings := strings.HasSuffix(path, "engine/config/config.go")
		ast.Inspect(f, func(n ast.Node) bool {
			switch n := n.(type) {
			case *ast.SelectorExpr:
				if !strings.Contains(path, "engine/config/") {
					read[n.Sel.Name] = true
				}
			case *ast.StructType:
				for _, field := range n.Fields.List {
					for _, name := range field.Names {
						if settings && name.IsExported() {
							fields[name.Name] = fset.Position(name.Pos()).String()
						}
					}
				}
			}
			return true
		})
	}
	if len(fields) < 100 {
		t.Fatalf("%d fields found in engine/config/config.go, want more than 100", len(fields))
	}
	for name, at := range fields {
		if !read[name] && !slices.Contains(resolvedByConfig, name) {
			t.Errorf("%s: nothing reads %s: give its key an effect, or no field and no Use", at, name)
		}
	}
}

// resolvedByConfig are fields of which package config itself makes what the others read.
var resolvedByConfig = []string{"ControllerProtocol"}
