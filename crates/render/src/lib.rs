//! plan(scene, tick) -> RenderPlan (pure), then one GPU executor (wgpu).
