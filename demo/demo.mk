.PHONY: demo
build/release/demo/transfers: build/release/obj/demo/transfers.o build/release/lib/libq_bus.a build/release/lib/libq_base.a
	@mkdir -p $(@D)
	$(CC) $< build/release/lib/libq_bus.a build/release/lib/libq_base.a -lrdkafka -ljansson -lyajl -lxxhash -lpthread -o $@
DEPFILES += build/release/obj/demo/transfers.d

demo: setup ## the main job on real input, through a crash (under 3 minutes, packages included)
	@$(MAKE) --no-print-directory -s -j2 bin/quanta build/release/demo/transfers
	@demo/demo
