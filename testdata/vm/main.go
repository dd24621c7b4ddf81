// Command vm runs the project's tests on other kernels: it boots Debian's cloud
// kernels in QEMU, without hardware help, and writes a table of the results.
// README.md says how.
package main

import (
	"context"
	"errors"
	"flag"
	"fmt"
	"io"
	"log"
	"os"
	"os/signal"
	"path/filepath"
	"runtime"
	"strings"
	"sync"
	"time"

	"github.com/staccato-profiler/staccato/testdata/vm/plan"
)

func main() {
	log.SetFlags(0)
	log.SetPrefix("vm: ")
	if err := run(); err != nil {
		log.Fatal(err)
	}
}

func run() error {
	var (
		kernels  = flag.String("kernels", strings.Join(allKernels, ","), "kernels to boot")
		cache    = flag.String("cache", "", "folder for downloads (default: staccato-vm in the user's cache)")
		limit    = flag.Duration("timeout", 10*time.Minute, "time that one kernel may take")
		table    = flag.String("table", "", "file to write the table to, in Markdown")
		parallel = flag.Int("parallel", max(1, runtime.NumCPU()/2), "how many to boot at a time; each takes up to two CPUs and 2 GiB")
		keep     = flag.String("keep", "", "folder to keep what the virtual machines printed")
	)
	flag.Parse()
	if *cache == "" {
		dir, err := os.UserCacheDir()
		if err != nil {
			return fmt.Errorf("find a folder for downloads: %w", err)
		}
		*cache = filepath.Join(dir, "staccato-vm")
	}
	asked, err := parseKernels(*kernels)
	if err != nil {
		return err
	}
	ctx, cancel := signal.NotifyContext(context.Background(), os.Interrupt)
	defer cancel()
	work, err := os.MkdirTemp("", "staccato-vm-")
	if err != nil {
		return fmt.Errorf("make a folder to work in: %w", err)
	}
	defer os.RemoveAll(work)

	packages, err := openPackages(ctx, filepath.Join(*cache, "apt"))
	if err != nil {
		return err
	}
	machines, err := prepare(ctx, packages, asked, work)
	if err != nil {
		return err
	}
	results, err := bootAll(ctx, machines, *limit, *parallel, *keep)
	if err != nil {
		return err
	}
	if *table != "" {
		if err := writeTable(*table, results); err != nil {
			return err
		}
	}
	return verdict(os.Stdout, results)
}

// machine is a virtual machine that can be booted.
type machine struct {
	kernel           kernel
	version          string
	image, initramfs string
	runs             []plan.Run
}

// prepare gets the kernels, and builds and packs what they are to run.
func prepare(ctx context.Context, packages *packages, asked []kernel, work string) ([]machine, error) {
	start := time.Now()
	built := make(map[string]string) // folder of programs by architecture
	var list []machine
	for _, k := range asked {
		image, version, err := packages.kernel(ctx, k)
		if err != nil {
			return nil, fmt.Errorf("get kernel %s: %w", k, err)
		}
		if built[k.arch] == "" {
			built[k.arch] = filepath.Join(work, k.arch)
			if err := build(ctx, packages, k.arch, built[k.arch]); err != nil {
				return nil, fmt.Errorf("build for %s: %w", k.arch, err)
			}
		}
		m := machine{k, version, image, filepath.Join(work, k.String()+".cpio"), planFor(k)}
		if err := writeInitramfs(m.initramfs, built[k.arch], m.runs); err != nil {
			return nil, err
		}
		list = append(list, m)
	}
	log.Printf("prepared %d machines in %v", len(list), time.Since(start).Round(time.Second))
	return list, nil
}

// bootAll boots machines, some at a time, and returns what came out of them in
// the same order. What each printed is kept in a folder, if there is one.
func bootAll(ctx context.Context, machines []machine, limit time.Duration, parallel int, keep string) ([]*result, error) {
	results, errs := make([]*result, len(machines)), make([]error, len(machines))
	turns := make(chan struct{}, max(1, parallel))
	var all sync.WaitGroup
	for i, m := range machines {
		turns <- struct{}{}
		all.Go(func() {
			defer func() { <-turns }()
			log.Printf("%s: booting %s", m.kernel, m.version)
			results[i], errs[i] = m.test(ctx, limit)
			if errs[i] != nil {
				return
			}
			log.Print(results[i].summary())
			if keep != "" {
				if err := os.WriteFile(filepath.Join(keep, m.kernel.String()+".log"), results[i].console, 0o644); err != nil {
					errs[i] = fmt.Errorf("keep output: %w", err)
				}
			}
		})
	}
	all.Wait()
	return results, errors.Join(errs...)
}

// test boots the machine and reads what it printed.
func (m machine) test(ctx context.Context, limit time.Duration) (*result, error) {
	start := time.Now()
	console, err := boot(ctx, m.kernel.arch, m.image, m.initramfs, limit)
	if err != nil {
		return nil, fmt.Errorf("test %s: %w", m.kernel, err)
	}
	r := &result{kernel: m.kernel, version: m.version, console: console.output, ended: console.ended, took: time.Since(start)}
	return r, r.parse(ctx, m.runs)
}

// verdict prints the table and says whether all is good.
func verdict(out io.Writer, results []*result) error {
	if err := printTable(out, results); err != nil {
		return err
	}
	var bad []string
	for _, r := range results {
		if !r.good() {
			bad = append(bad, r.kernel.String())
			fmt.Fprintf(out, "\n%s: %s\n", r.kernel, r.failures())
		}
	}
	if len(bad) > 0 {
		return errors.New("failed on " + strings.Join(bad, ", "))
	}
	return nil
}
