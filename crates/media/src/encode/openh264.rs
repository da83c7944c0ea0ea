//! The embedded software encoder: OpenH264, built from source, called through its C interface.
//!
//! The safe wrapper crate hides slices, the entropy coder and the live rate options, so this speaks to the library
//! itself; every unsafe call is in this file.
#![expect(unsafe_code, reason = "the C interface of OpenH264")]

use super::config::{check_bitrate, check_fps, level};
use super::rate::Rate;
use super::{Backend, Config, Encoded, Entropy, Error};
use crate::nv12::deinterleave;
use crate::{Colour, Sps};
use bytes::Bytes;
use openh264_sys2::source::APILoader;
use openh264_sys2::{
    CAMERA_VIDEO_REAL_TIME, CONSTANT_ID, ELevelIdc, ENCODER_OPTION, ENCODER_OPTION_SVC_ENCODE_PARAM_EXT,
    ENCODER_OPTION_TRACE_LEVEL, ISVCEncoder, ISVCEncoderVtbl, PRO_BASELINE, PRO_MAIN, RC_OFF_MODE, SEncParamExt,
    SFrameBSInfo, SM_FIXEDSLCNUM_SLICE, SM_SINGLE_SLICE, SSourcePicture, VF_UNDEF, WELS_LOG_QUIET, videoFormatI420,
    videoFrameTypeI, videoFrameTypeIDR, videoFrameTypeP,
};
use std::ffi::{c_int, c_void};
use std::ptr::{from_mut, null_mut};

const NAME: &str = "openh264";

/// An H.264 encoder in software, without delay: one picture in, the same picture coded out.
pub struct OpenH264 {
    raw: Raw,
    config: Config,
    codec: String,
    u: Vec<u8>,
    v: Vec<u8>,
    rate: Rate,
    pictures: i64,
    keyframe_next: bool,
}

impl OpenH264 {
    /// Starts an encoder.
    ///
    /// # Errors
    /// When a setting is out of range or the library refuses it.
    pub fn new(config: Config) -> Result<Self, Error> {
        config.check()?;
        let mut raw = Raw::new()?;
        raw.initialize(&config)?;
        let sps = Sps::from_annex_b(&raw.parameter_sets()?).map_err(|source| Error::Sps { backend: NAME, source })?;
        let chroma = config.size.luma_len() / 4;
        Ok(Self {
            raw,
            config,
            codec: sps.codec_string(),
            u: vec![0; chroma],
            v: vec![0; chroma],
            rate: Rate::new(
                config.size.luma_len(),
                config.bitrate_bps,
                config.fps,
                config.min_qp,
                config.max_qp,
            ),
            pictures: 0,
            keyframe_next: true,
        })
    }

    /// The settings as they stand.
    #[must_use]
    pub fn config(&self) -> &Config {
        &self.config
    }

    /// Codes the picture whose chroma has been split already.
    fn encode_at(&mut self, luma: &[u8], qp: u8, keyframe: bool) -> Result<Bytes, Error> {
        self.raw.set_qp(qp)?;
        if keyframe {
            self.raw.force_keyframe()?;
        }
        let timestamp_ms = self.pictures;
        self.pictures += 1;
        let (data, is_keyframe) = self.raw.encode(&self.config, luma, &self.u, &self.v, timestamp_ms)?;
        if is_keyframe == keyframe {
            Ok(data)
        } else {
            Err(codec("EncodeFrame (picture type)", is_keyframe.into()))
        }
    }
}

impl Backend for OpenH264 {
    fn encode(&mut self, nv12: &[u8], set: u32) -> Result<Encoded, Error> {
        let size = self.config.size;
        if nv12.len() != size.nv12_len() {
            return Err(Error::Input {
                set,
                len: nv12.len(),
                expected: size.nv12_len(),
                width: size.width(),
                height: size.height(),
            });
        }
        let (luma, chroma) = nv12.split_at(size.luma_len());
        deinterleave(chroma, &mut self.u, &mut self.v);
        // If the library fails, what it did to its references is unknown: only a keyframe is safe after it.
        let keyframe = std::mem::replace(&mut self.keyframe_next, true);
        let mut qp = self.rate.choose(keyframe);
        let mut data = self.encode_at(luma, qp, keyframe)?;
        if keyframe && self.rate.is_excessive(data.len() * 8, qp) {
            self.rate.discard(data.len() * 8, qp);
            qp = self.rate.choose(true);
            data = self.encode_at(luma, qp, true)?;
        }
        self.rate.spend(data.len() * 8, qp, keyframe);
        self.keyframe_next = false;
        Ok(Encoded { data, keyframe, set })
    }

    fn flush(&mut self) -> Result<Vec<Encoded>, Error> {
        Ok(Vec::new())
    }

    fn set_bitrate(&mut self, bitrate_bps: u32) -> Result<(), Error> {
        check_bitrate(self.config.size, bitrate_bps)?;
        self.rate.set_bitrate(bitrate_bps);
        self.config.bitrate_bps = bitrate_bps;
        Ok(())
    }

    fn set_fps(&mut self, fps: f32) -> Result<(), Error> {
        check_fps(fps)?;
        self.rate.set_fps(fps);
        self.config.fps = fps;
        Ok(())
    }

    fn force_keyframe(&mut self) -> Result<(), Error> {
        self.keyframe_next = true;
        Ok(())
    }

    fn codec_string(&self) -> &str {
        &self.codec
    }

    fn name(&self) -> &'static str {
        NAME
    }
}

/// The library's object and its function table.
struct Raw {
    encoder: *mut ISVCEncoder,
    table: ISVCEncoderVtbl,
    params: Box<SEncParamExt>,
    initialized: bool,
}

// SAFETY: the library keeps no thread-local state for an encoder, and `&mut self` on every call that changes it
// keeps two threads from being inside at once.
unsafe impl Send for Raw {}

impl Raw {
    fn new() -> Result<Self, Error> {
        let mut encoder: *mut ISVCEncoder = null_mut();
        // SAFETY: the pointer is valid for the write; on success it holds a live encoder.
        let code = unsafe { APILoader::WelsCreateSVCEncoder(&raw mut encoder) };
        check("WelsCreateSVCEncoder", code)?;
        if encoder.is_null() {
            return Err(codec("WelsCreateSVCEncoder", 0));
        }
        // SAFETY: a live encoder begins with a pointer to its function table, which is plain data.
        let table = unsafe { **encoder };
        Ok(Self {
            encoder,
            table,
            params: Box::default(),
            initialized: false,
        })
    }

    fn initialize(&mut self, config: &Config) -> Result<(), Error> {
        let (defaults, initialize) = (
            self.table
                .GetDefaultParams
                .ok_or_else(|| codec("GetDefaultParams", 0))?,
            self.table.InitializeExt.ok_or_else(|| codec("InitializeExt", 0))?,
        );
        // SAFETY: a live encoder and a valid structure to fill.
        check("GetDefaultParams", unsafe {
            defaults(self.encoder, &raw mut *self.params)
        })?;
        fill(&mut self.params, config);
        let mut quiet = WELS_LOG_QUIET;
        self.set_option(ENCODER_OPTION_TRACE_LEVEL, from_mut(&mut quiet).cast())?;
        // SAFETY: a live encoder and a fully written structure, which the library copies.
        check("InitializeExt", unsafe {
            initialize(self.encoder, &raw const *self.params)
        })?;
        self.initialized = true;
        Ok(())
    }

    fn parameter_sets(&mut self) -> Result<Bytes, Error> {
        let call = self
            .table
            .EncodeParameterSets
            .ok_or_else(|| codec("EncodeParameterSets", 0))?;
        let mut info = Box::new(SFrameBSInfo::default());
        // SAFETY: an initialized encoder and a valid structure to fill.
        check("EncodeParameterSets", unsafe { call(self.encoder, &raw mut *info) })?;
        // SAFETY: filled by the call above; no other call came between.
        Ok(unsafe { collect(&info) })
    }

    /// Sets the quantiser of the next picture. Nothing else in the parameters differs, so the library takes the new
    /// value over without starting anew.
    fn set_qp(&mut self, qp: u8) -> Result<(), Error> {
        if self.params.sSpatialLayers[0].iDLayerQp == c_int::from(qp) {
            return Ok(());
        }
        self.params.sSpatialLayers[0].iDLayerQp = qp.into();
        let params: *mut SEncParamExt = &raw mut *self.params;
        self.set_option(ENCODER_OPTION_SVC_ENCODE_PARAM_EXT, params.cast())
    }

    fn encode(
        &mut self,
        config: &Config,
        y: &[u8],
        u: &[u8],
        v: &[u8],
        timestamp_ms: i64,
    ) -> Result<(Bytes, bool), Error> {
        let call = self.table.EncodeFrame.ok_or_else(|| codec("EncodeFrame", 0))?;
        let width = config.size.c_width();
        let picture = SSourcePicture {
            iColorFormat: videoFormatI420,
            iStride: [width, width / 2, width / 2, 0],
            pData: [
                y.as_ptr().cast_mut(),
                u.as_ptr().cast_mut(),
                v.as_ptr().cast_mut(),
                null_mut(),
            ],
            iPicWidth: width,
            iPicHeight: config.size.c_height(),
            uiTimeStamp: timestamp_ms,
            bPsnrY: false,
            bPsnrU: false,
            bPsnrV: false,
        };
        let mut info = Box::new(SFrameBSInfo::default());
        // SAFETY: an initialized encoder; the planes are as long as size and strides say (the caller checked), the
        // library only reads them, and only during the call.
        check("EncodeFrame", unsafe {
            call(self.encoder, &raw const picture, &raw mut *info)
        })?;
        let keyframe = info.eFrameType == videoFrameTypeIDR;
        if !keyframe && info.eFrameType != videoFrameTypeP && info.eFrameType != videoFrameTypeI {
            return Err(codec("EncodeFrame (picture skipped)", i64::from(info.eFrameType)));
        }
        // SAFETY: filled by the call above; no other call came between.
        Ok((unsafe { collect(&info) }, keyframe))
    }

    fn force_keyframe(&mut self) -> Result<(), Error> {
        let call = self.table.ForceIntraFrame.ok_or_else(|| codec("ForceIntraFrame", 0))?;
        // SAFETY: an initialized encoder.
        check("ForceIntraFrame", unsafe { call(self.encoder, true) })
    }

    /// `value` must point to what `option` is documented to take.
    fn set_option(&mut self, option: ENCODER_OPTION, value: *mut c_void) -> Result<(), Error> {
        let call = self.table.SetOption.ok_or_else(|| codec("SetOption", 0))?;
        // SAFETY: a live encoder; the callers in this file pass the type that belongs to the option.
        check("SetOption", unsafe { call(self.encoder, option, value) })
    }
}

impl Drop for Raw {
    fn drop(&mut self) {
        // SAFETY: the encoder is live until here and is not used after.
        unsafe {
            if self.initialized
                && let Some(uninitialize) = self.table.Uninitialize
            {
                uninitialize(self.encoder);
            }
            APILoader::WelsDestroySVCEncoder(self.encoder);
        }
    }
}

fn fill(params: &mut SEncParamExt, config: &Config) {
    let (level, _) = level(config.size);
    params.iUsageType = CAMERA_VIDEO_REAL_TIME;
    params.iPicWidth = config.size.c_width();
    params.iPicHeight = config.size.c_height();
    params.iTargetBitrate = c_bitrate(config.bitrate_bps);
    params.fMaxFrameRate = config.fps;
    params.iRCMode = RC_OFF_MODE; // see `rate`
    params.iMinQp = 0;
    params.iMaxQp = 51;
    params.uiIntraPeriod = 0;
    params.iNumRefFrame = 1;
    params.iTemporalLayerNum = 1;
    params.iSpatialLayerNum = 1;
    params.eSpsPpsIdStrategy = CONSTANT_ID;
    params.iEntropyCodingModeFlag = (config.entropy == Entropy::Cabac).into();
    params.iMultipleThreadIdc = config.threads.into();
    // Skipping would break "one picture in, one out"; detected scene changes would put in keyframes that the caller
    // has not asked for; background detection freezes still areas at whatever quality they first had.
    params.bEnableFrameSkip = false;
    params.bEnableSceneChangeDetect = false;
    params.bEnableBackgroundDetection = false;
    params.bEnableAdaptiveQuant = true;
    params.bEnableLongTermReference = false;
    params.bUseLoadBalancing = false;
    let layer = &mut params.sSpatialLayers[0];
    layer.iVideoWidth = config.size.c_width();
    layer.iVideoHeight = config.size.c_height();
    layer.fFrameRate = config.fps;
    layer.iSpatialBitrate = c_bitrate(config.bitrate_bps);
    layer.uiProfileIdc = match config.entropy {
        Entropy::Cavlc => PRO_BASELINE,
        Entropy::Cabac => PRO_MAIN,
    };
    layer.uiLevelIdc = ELevelIdc::from(level);
    layer.sSliceArgument.uiSliceMode = if config.threads > 1 {
        SM_FIXEDSLCNUM_SLICE
    } else {
        SM_SINGLE_SLICE
    };
    layer.sSliceArgument.uiSliceNum = config.threads.into();
    layer.bVideoSignalTypePresent = true;
    layer.uiVideoFormat = VF_UNDEF.try_into().unwrap_or(5);
    layer.bFullRange = Colour::TONGYOU.full_range;
    layer.bColorDescriptionPresent = true;
    layer.uiColorPrimaries = Colour::TONGYOU.primaries;
    layer.uiTransferCharacteristics = Colour::TONGYOU.transfer;
    layer.uiColorMatrix = Colour::TONGYOU.matrix;
}

/// # Safety
/// `info` must have been filled by a successful call on an encoder that has not been called since.
unsafe fn collect(info: &SFrameBSInfo) -> Bytes {
    let layers = usize::try_from(info.iLayerNum).unwrap_or(0).min(info.sLayerInfo.len());
    let mut data = Vec::with_capacity(usize::try_from(info.iFrameSizeInBytes).unwrap_or(0));
    for layer in &info.sLayerInfo[..layers] {
        let count = usize::try_from(layer.iNalCount).unwrap_or(0);
        if layer.pBsBuf.is_null() || layer.pNalLengthInByte.is_null() {
            continue;
        }
        // SAFETY: the library gives `iNalCount` lengths, whose sum is the length of the layer's buffer.
        let bytes = unsafe {
            let lengths = std::slice::from_raw_parts(layer.pNalLengthInByte, count);
            let sum = lengths.iter().map(|length| usize::try_from(*length).unwrap_or(0)).sum();
            std::slice::from_raw_parts(layer.pBsBuf, sum)
        };
        data.extend_from_slice(bytes);
    }
    data.into()
}

fn c_bitrate(bitrate_bps: u32) -> c_int {
    c_int::try_from(bitrate_bps).unwrap_or(c_int::MAX)
}

fn check(call: &'static str, code: c_int) -> Result<(), Error> {
    if code == 0 {
        Ok(())
    } else {
        Err(codec(call, i64::from(code)))
    }
}

fn codec(call: &'static str, code: i64) -> Error {
    Error::Codec {
        backend: NAME,
        call,
        code,
    }
}
