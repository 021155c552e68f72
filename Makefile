# A thin door to CMake.
PRESET ?= release
BUILD  := build/$(PRESET)
libraries := $(BUILD)/lib/genflow/libraries
gpu := $(firstword $(wildcard /dev/nvidia[0-9]*))

.PHONY: program all unit_tests quickstart test deps configure install clean

program: configure
	@cmake --build $(BUILD) --target program

all: configure
	@cmake --build $(BUILD)

unit_tests: configure
	@cmake --build $(BUILD) --target unit_tests

deps:
	@tools/install-deps

# Again where a driver has come since: its CUDA libraries are fetched then.
configure: deps
	@test -f $(BUILD)/build.ninja -a \( -z '$(gpu)' -o ! -d $(libraries)/torch -o -d $(libraries)/torch/nvidia/cudnn \) \
	  || cmake --preset $(PRESET)

install: program
	cmake --install $(BUILD)

test: all
	@$(if $(gpu),,echo "no NVIDIA driver: the tests labelled cuda are left out")
	ctest --test-dir $(BUILD) -j $$(nproc) --output-on-failure --no-label-summary $(if $(gpu),,-LE cuda)

quickstart: program
	@tools/manpages data/manpages
	@$(BUILD)/bin/genflow run pipelines/quickstart.yaml

clean:
	rm -rf build
